/**
 * A small application with every part of the protocol: two kinds that send each other deltas, two co-partitioned inputs,
 * exact and soft stores, rows that are removed, views, their refill, lists that are rebuilt later (`unfinishedFrom`), table
 * rows, dead letters, alerts, published records, urgent commits, a followed table, records that wait for a schema.
 *
 * `words` counts words of `text` and marks of `marks`, keeps flags that open and close, sends its counts to `totals`, which
 * sums them and sends what it summed back as echoes. So counts, sums and echoes of a word are equal in the end, whatever
 * happened; `recount.ts` says what they are at each commit.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { DeltaChannel, Outbox } from '../../streams/topology/outbox.ts'
import type {
  Application,
  Decoded,
  FollowedTable,
  Stage,
  TaskContext,
} from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import { activeWords, Refill } from './refill.ts'

const COUNTS: DeltaChannel = { id: 1, name: 'counts', to: 'totals' }
const ECHOES: DeltaChannel = { id: 2, name: 'echoes', to: 'words' }
export const ALERT_EVERY = 7
const LISTS_PER_TICK = 2

export interface Event {
  readonly kind: 'word' | 'urgent' | 'open' | 'close' | 'mark'
  readonly word: string
  readonly offset: number
}

/** `<kind>:<word>`; `schema<n>:<word>` is a word whose schema may not be known yet. */
export function parseEvent(record: LogRecord): Event | { bad: string } | 'skip' {
  const [kind, word = ''] = (record.value?.toString() ?? '').split(':')
  const { offset } = record
  if (kind.startsWith('schema')) return { kind: 'word', word, offset }
  if (['word', 'urgent', 'open', 'close', 'mark'].includes(kind))
    return { kind: kind as Event['kind'], word, offset }
  return kind === 'skip' ? 'skip' : { bad: kind }
}

/** What the stages of one process are given, and tell. */
export interface Environment {
  /** A record of a partition is taken in by a task of this process. */
  onRecord(task: string): void
  /** undefined: the schema is known. */
  schema(name: string): Promise<void> | undefined
  onTable(table: SumsTable): void
}

export interface WordRow extends Row {
  readonly word: string
  count: number
  marks: number
  lastOffset: number
}

interface NumberRow extends Row {
  readonly word: string
  value: number
}

/** A store of numbers by word. */
class Numbers {
  readonly rows = new Map<string, NumberRow>()
  readonly store: Store<NumberRow>

  constructor(id: number, name: string, write: 'exact' | { everyMs: number } = 'exact') {
    this.store = new Store<NumberRow>({
      id,
      name,
      write,
      writeKey: (row, w) => w.rawString(row.word),
      writeValue: (row, w) => w.uint(row.value),
      restore: (key, value) => {
        const word = key.rawString()
        if (value === null) this.rows.delete(word)
        else this.rows.set(word, { word, value: value.uint(), dirty: false, removed: false })
      },
    })
  }

  row(word: string): NumberRow {
    let row = this.rows.get(word)
    if (!row) {
      row = { word, value: 0, dirty: false, removed: false }
      this.rows.set(word, row)
    }
    return row
  }

  add(word: string, n: number): void {
    const row = this.row(word)
    row.value += n
    row.removed = false
    this.store.touch(row)
  }

  remove(word: string): void {
    const row = this.rows.get(word)
    if (!row) return
    this.store.remove(row)
    this.rows.delete(word)
  }
}

class Words {
  readonly rows = new Map<string, WordRow>()
  readonly store = new Store<WordRow>({
    id: 1,
    name: 'words',
    write: 'exact',
    writeKey: (row, w) => w.rawString(row.word),
    writeValue: (row, w) => w.uint(row.count).uint(row.marks).uint(row.lastOffset),
    restore: (key, value) => {
      const word = key.rawString()
      if (value === null) {
        this.rows.delete(word)
        return
      }
      const [count, marks, lastOffset] = [value.uint(), value.uint(), value.uint()]
      this.rows.set(word, { word, count, marks, lastOffset, dirty: false, removed: false })
    },
  })

  row(word: string): WordRow {
    let row = this.rows.get(word)
    if (!row) {
      row = { word, count: 0, marks: 0, lastOffset: 0, dirty: false, removed: false }
      this.rows.set(word, row)
    }
    return row
  }
}

function wordsStage(ctx: TaskContext, env: Environment): Stage<Event> {
  const task = `${ctx.kind}-${ctx.partition}`
  const words = new Words()
  const flags = new Numbers(2, 'flags')
  const echoes = new Numbers(3, 'echoes')
  const warm = new Numbers(4, 'warm', { everyMs: 150 })
  const pending = new Map<string, number>()
  const toShow = new Set<string>()
  const arrived: Event[] = []
  const toPublish = new Set<string>()
  const refill = new Refill()
  let urgent = false
  // lists: words in the order in which they became dirty, with the offset that made them so
  const dirtyLists = new Map<string, number>()
  const made = new Map<string, number>()
  const leaving = new Map<string, number>()
  return {
    name: 'words',
    stores: [words.store, flags.store, echoes.store, warm.store] as unknown as Store[],
    receives: [ECHOES],
    process(event) {
      env.onRecord(task)
      const { kind, word, offset } = event
      if (kind === 'open') flags.add(word, 1)
      else if (kind === 'close') flags.remove(word)
      if (kind === 'open' || kind === 'close') return undefined
      const row = words.row(word)
      words.store.touch(row)
      toShow.add(word)
      if (kind === 'mark') {
        row.marks++
        return undefined
      }
      row.count++
      row.lastOffset = offset
      warm.row(word).value = row.count
      warm.store.touch(warm.row(word))
      pending.set(word, (pending.get(word) ?? 0) + 1)
      arrived.push(event)
      if (kind === 'urgent') urgent = true
      if (!dirtyLists.has(word)) dirtyLists.set(word, offset)
      return undefined
    },
    receive(_channel, payload) {
      env.onRecord(task)
      while (payload.left > 0) echoes.add(payload.string(), payload.uint())
    },
    tick() {
      let n = 0
      for (const [word, offset] of dirtyLists) {
        if (++n > LISTS_PER_TICK) return true
        dirtyLists.delete(word)
        made.set(word, offset)
      }
      return false
    },
    urgent: () => urgent,
    flush(out) {
      urgent = false
      sendPending(out, pending, COUNTS, ctx.partitionsOf('totals'))
      for (const { word, offset } of arrived) {
        out.row('words', { id: `${task}@${offset}`, word, refused: word === 'refused' })
        if (offset % ALERT_EVERY === 0) alert(out, `${task}@${offset}`)
        toPublish.add(word)
      }
      arrived.length = 0
      for (const word of toPublish)
        out.publish('features', word, Buffer.from(String(words.row(word).count)))
      toPublish.clear()
      for (const word of refill.next()) {
        toShow.add(word)
        showList(out, words.row(word))
      }
      for (const word of toShow) show(out, words.row(word))
      toShow.clear()
      for (const [word, offset] of made) {
        showList(out, words.row(word))
        leaving.set(word, Math.min(offset, leaving.get(word) ?? offset))
      }
      made.clear()
    },
    refill: () => refill.begin(activeWords(words.rows)),
    refilling: () => refill.isUnderWay,
    delivered: () => leaving.clear(),
    unfinishedFrom() {
      const offsets = [...dirtyLists.values(), ...made.values(), ...leaving.values()]
      return offsets.length > 0 ? Math.min(...offsets) : undefined
    },
    resumeUnfinished(from) {
      for (const { word, lastOffset } of words.rows.values())
        if (lastOffset >= from && words.row(word).count > 0) dirtyLists.set(word, from)
    },
    restored(last) {
      for (const { store, key } of last) {
        if (store !== 1) continue
        toShow.add(key.toString())
        toPublish.add(key.toString())
      }
    },
  }
}

function show(out: Outbox, { word, count, marks }: WordRow): void {
  const body = `"count":${count},"marks":${marks}}`
  out.view({ op: 'json', key: `word:${word}`, body, ttlMs: 0 })
}

function showList(out: Outbox, { word, count }: WordRow): void {
  out.view({ op: 'json', key: `list:${word}`, body: `"count":${count}}`, ttlMs: 0 })
}

function alert(out: Outbox, subject: string): void {
  out.alert({
    rule: 'seventh',
    subject,
    since: 0,
    until: null,
    value: 1,
    threshold: 1,
    message: '',
  })
}

function sendPending(
  out: Outbox,
  pending: Map<string, number>,
  channel: DeltaChannel,
  partitions: number,
): void {
  const writers = new Map<number, ByteWriter>()
  for (const [word, n] of pending) {
    const partition = partitionOfText(word, partitions)
    const w = writers.get(partition) ?? out.delta(channel, partition)
    writers.set(partition, w)
    w.string(word).uint(n)
  }
  pending.clear()
}

function totalsStage(ctx: TaskContext, env: Environment): Stage {
  const task = `${ctx.kind}-${ctx.partition}`
  const totals = new Numbers(1, 'totals')
  const pending = new Map<string, number>()
  const toShow = new Set<string>()
  const refill = new Refill()
  return {
    name: 'totals',
    stores: [totals.store] as unknown as Store[],
    receives: [COUNTS],
    receive(_channel, payload: ByteReader) {
      env.onRecord(task)
      while (payload.left > 0) {
        const word = payload.string()
        const n = payload.uint()
        totals.add(word, n)
        pending.set(word, (pending.get(word) ?? 0) + n)
        toShow.add(word)
      }
    },
    flush(out) {
      sendPending(out, pending, ECHOES, ctx.partitionsOf('words'))
      for (const word of refill.next()) toShow.add(word)
      for (const word of toShow) {
        const body = `"sum":${totals.row(word).value}}`
        out.view({ op: 'json', key: `total:${word}`, body, ttlMs: 0 })
      }
      toShow.clear()
    },
    refill: () => refill.begin(totals.rows.keys()),
    refilling: () => refill.isUnderWay,
    restored(last) {
      for (const { key } of last) toShow.add(key.toString())
    },
  }
}

/** Follows `totals`: word -> sum. */
export class SumsTable implements FollowedTable {
  readonly sums = new Map<string, number>()

  apply(
    _kind: string,
    _partition: number,
    _store: number,
    key: ByteReader,
    value: ByteReader | null,
  ): void {
    if (value) this.sums.set(key.rawString(), value.uint())
  }
}

export interface ApplicationSettings {
  readonly totals: number
  readonly wordsCommitMs: number
  readonly totalsCommitMs: number
}

export function simulatedApplication(
  { totals, wordsCommitMs, totalsCommitMs }: ApplicationSettings,
  env: Environment,
): Application {
  return {
    kinds: [
      {
        name: 'words',
        inputs: ['text', 'marks'],
        deltas: true,
        commitIntervalMs: wordsCommitMs,
        tables: ['sums'],
        create: ctx => ({
          decode: (_topic, record) => decode(record, env),
          stages: [wordsStage(ctx, env) as Stage],
        }),
      },
      {
        name: 'totals',
        inputs: [],
        partitions: totals,
        deltas: true,
        commitIntervalMs: totalsCommitMs,
        tables: [],
        create: ctx => ({ decode: () => 'skip', stages: [totalsStage(ctx, env)] }),
      },
    ],
    tables: [
      {
        name: 'sums',
        follows: ['totals'],
        create: () => {
          const table = new SumsTable()
          env.onTable(table)
          return table
        },
      },
    ],
  }
}

function decode(record: LogRecord, env: Environment): Decoded<Event> {
  const parsed = parseEvent(record)
  if (parsed === 'skip') return 'skip'
  if ('bad' in parsed) return { bad: 'DECODE_FAILED', message: `no event: ${parsed.bad}` }
  const text = record.value?.toString() ?? ''
  const waitFor = text.startsWith('schema') ? env.schema(text.split(':')[0]) : undefined
  return waitFor ? { waitFor } : { ok: parsed }
}
