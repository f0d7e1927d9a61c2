/**
 * The judge: a plain recount of the inputs, held against every batch as it becomes readable. It knows what a commit at given
 * positions must hold, so a lost, doubled or foreign step shows in the very batch that is wrong.
 *
 *  - C1 a changelog batch is one commit, whose record is its last, or one ownership record; rows, table blocks, packets and
 *       letters are those of exactly the records between the last commit's positions and this one's.
 *  - C2 every batch is written by the owner in force; commit numbers follow each other.
 *  - C3 nothing leaves before the commit that it comes from is readable; a table block stays until its rows are stored.
 *  - C4 packets of a sender come numbered without gaps, a repetition is the same packet.
 *  - C5 views grow with their versions; C6 offsets told to the group are committed ones.
 */
import { uncompressSync } from 'snappy'
import { type CommitRecord, readCommitRecord } from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'
import { markThrough, type TopicNames } from '../../streams/runtime/names.ts'
import { decodePacket } from '../../streams/runtime/packet.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { FetchedBatch, LogRecord } from '../../streams/transport/port.ts'
import type { BrokerLog } from './broker-log.ts'
import type { TableServer, View, ViewServer } from './sinks.ts'
import { expectedRow, numbersIn, packetContents, type Step, TaskRecount } from './task-recount.ts'

const LAST_EPOCH = 32_766

export interface RecountSettings {
  readonly names: TopicNames
  readonly words: number
  readonly totals: number
  readonly tables: TableServer
  readonly fail: (what: string) => void
}

export class Recount {
  readonly tasks = new Map<string, TaskRecount>()
  /** Records of everything but changelogs, by log. */
  readonly inputs = new Map<string, LogRecord[]>()
  /** Dead letters and alerts that commits gave out, and those that arrived. */
  readonly lettersDue = new Set<string>()
  readonly letters = new Set<string>()
  readonly features = new Map<string, number>()
  commits = 0
  takeovers = 0
  private readonly packets = new Map<string, Buffer>()
  private readonly newest = new Map<string, number>()
  private readonly settings: RecountSettings

  constructor(settings: RecountSettings) {
    this.settings = settings
    for (let p = 0; p < settings.words; p++) this.add(new TaskRecount('words', p))
    for (let p = 0; p < settings.totals; p++) this.add(new TaskRecount('totals', p))
  }

  private add(task: TaskRecount): void {
    this.tasks.set(task.name, task)
  }

  /** A batch has become readable. */
  take(log: BrokerLog, batch: FetchedBatch): void {
    const { names } = this.settings
    const { topic, partition } = batch
    for (const kind of ['words', 'totals']) {
      if (topic === names.changelog(kind)) {
        this.changelog(this.tasks.get(`${kind}-${partition}`) as TaskRecount, batch)
        return
      }
      if (topic === names.deltas(kind)) this.delta(`${kind}-${partition}`, batch)
    }
    if (topic === names.outside('dead-letters') || topic === names.outside('alerts'))
      for (const record of batch.records) this.letter(letterId(record.headers))
    if (topic === names.outside('features'))
      for (const record of batch.records) this.feature(record)
    const seen = this.inputs.get(log.name)
    if (seen) seen.push(...batch.records)
    else this.inputs.set(log.name, [...batch.records])
  }

  // ---- changelogs

  private changelog(task: TaskRecount, batch: FetchedBatch): void {
    const where = `${task.name}@${batch.baseOffset}`
    const first = batch.records[0]
    if (first.key?.[0] === 0 && first.key[1] === 1) {
      this.ownership(task, batch, first, where)
      return
    }
    const { owner } = task
    if (!owner || owner.producerId !== batch.producerId || owner.epoch !== batch.producerEpoch)
      this.fail(
        `C2 ${where}: written by ${batch.producerId}/${batch.producerEpoch}, the owner in force is ${owner?.producerId}/${owner?.epoch}`,
      )
    const last = batch.records[batch.records.length - 1]
    if (last.key?.[0] !== 0 || last.key[1] !== 2 || last.value === null) {
      this.fail(`C1 ${where}: the batch does not end with a commit record`)
      return
    }
    this.commit(task, batch, readCommitRecord(last.value, where), where)
  }

  private ownership(task: TaskRecount, batch: FetchedBatch, record: LogRecord, where: string) {
    const { producerId, producerEpoch: epoch } = batch
    if (batch.records.length !== 1) this.fail(`C1 ${where}: an ownership record is not alone`)
    const content = JSON.parse(String(record.value)) as { opensAt?: number; closed?: string }
    const { owner } = task
    if (content.closed !== undefined) {
      if (epoch !== LAST_EPOCH + 1 || producerId !== owner?.producerId)
        this.fail(`C2 ${where}: a line of epochs is closed that is not this one`)
      task.closed = true
      task.owner = undefined
      return
    }
    if (content.opensAt !== undefined) {
      if (content.opensAt !== record.offset) return // void
      if (owner && !task.closed) this.fail(`C2 ${where}: a second line of epochs opens`)
    } else if (!owner || owner.producerId !== producerId || epoch <= owner.epoch)
      this.fail(`C2 ${where}: ${producerId}/${epoch} follows ${owner?.producerId}/${owner?.epoch}`)
    task.owner = { producerId, epoch }
    task.closed = false
    this.takeovers++
  }

  private commit(task: TaskRecount, batch: FetchedBatch, commit: CommitRecord, where: string) {
    this.commits++
    if (commit.number !== task.commits + 1)
      this.fail(`C2 ${where}: commit ${commit.number} follows ${task.commits}`)
    task.commits = commit.number
    const step = this.advance(task, commit, where)
    const rows: string[] = []
    const newest = new Map<string, LogRecord>()
    for (const record of batch.records) {
      const key = record.key as Buffer
      if (key[0] !== 0) newest.set(key.toString('latin1'), record)
      else if (key[1] === 3) rows.push(...this.block(task, key, record.value, where))
    }
    for (const { key, value } of newest.values())
      if (key) this.row(task, key[0], key.subarray(1).toString(), value, step, where)
    for (const [set, name] of [
      [step.words, 'word'],
      [step.flags, 'flag'],
      [step.numbers, 'number'],
    ] as const)
      for (const word of set) this.fail(`C1 ${where}: the row of ${name} ${word} is missing`)
    same(rows, step.rows, what => this.fail(`C1 ${where}: table rows ${what}`))
    const letters = commit.records.map(({ headers }) => letterOf(headers))
    same(letters, step.letters, what => this.fail(`C1 ${where}: letters ${what}`))
    for (const letter of letters) this.lettersDue.add(letter)
    this.outgoing(task, commit, step, where)
  }

  /** Counts the records between the positions. */
  private advance(task: TaskRecount, commit: CommitRecord, where: string): Step {
    const step: Step = {
      words: new Set(),
      flags: new Set(),
      numbers: new Set(),
      rows: [],
      letters: [],
      outgoing: new Map(),
    }
    const { names } = this.settings
    for (const [input, to] of commit.positions) {
      const from = task.positions.get(input) ?? 0
      if (to < from)
        this.fail(`C1 ${where}: the position in ${input} goes back from ${from} to ${to}`)
      task.positions.set(input, to)
      const topic = input === DELTAS ? names.deltas(task.kind) : names.outside(input)
      const records = this.inputs.get(`${topic}-${task.partition}`) ?? []
      if (to > records.length) this.fail(`C1 ${where}: the position in ${input} is beyond its end`)
      for (let offset = from; offset < to && offset < records.length; offset++)
        if (input === DELTAS) task.takePacket(records[offset], step)
        else task.takeEvent(records[offset], step)
    }
    sameMap(task.applied, numbersOf(commit.applied), what =>
      this.fail(`C4 ${where}: applied ${what}`),
    )
    return step
  }

  private row(
    task: TaskRecount,
    store: number,
    word: string,
    value: Buffer | null,
    step: Step,
    where: string,
  ): void {
    const found = value === null ? 'none' : numbersIn(value).join(' ')
    const expected = expectedRow(task, store, word)
    if (found !== expected)
      this.fail(`C1 ${where}: row ${store}:${word} is ${found}, the recount says ${expected}`)
    if (task.kind === 'totals') step.numbers.delete(word)
    else if (store === 1) step.words.delete(word)
    else if (store === 2) step.flags.delete(word)
    else if (store === 3) step.numbers.delete(word)
  }

  private block(task: TaskRecount, key: Buffer, value: Buffer | null, where: string): string[] {
    const number = new ByteReader(key, 2).uint()
    if (value === null) {
      const { tables } = this.settings
      for (const id of task.blocks.get(number) ?? [])
        if (!tables.rows.has(id))
          this.fail(`C3 ${where}: block ${number} is removed before its row ${id} is stored`)
      task.blocks.delete(number)
      return []
    }
    const { rows } = JSON.parse(uncompressSync(value, { asBuffer: false }) as string) as {
      rows: { id: string; refused: boolean }[]
    }
    if (task.blocks.has(number)) this.fail(`C3 ${where}: block ${number} is overwritten`)
    task.blocks.set(
      number,
      rows.filter(row => !row.refused).map(row => row.id),
    )
    return rows.map(row => row.id)
  }

  private outgoing(task: TaskRecount, commit: CommitRecord, step: Step, where: string): void {
    const { words, totals } = this.settings
    const to = task.kind === 'words' ? 'totals' : 'words'
    const expected = new Map<string, Map<string, number>>()
    for (const [word, n] of step.outgoing) {
      const receiver = `${to}-${partitionOfText(word, to === 'words' ? words : totals)}`
      expected.set(receiver, (expected.get(receiver) ?? new Map()).set(word, n))
    }
    for (const { kind, partition, value } of commit.packets) {
      const receiver = `${kind}-${partition}`
      const { source, number, generation } = decodePacket(value, where)
      const next = (task.sent.get(receiver) ?? 0) + 1
      if (source !== task.name || number !== next || generation !== 1)
        this.fail(`C4 ${where}: packet ${source}/${number} to ${receiver}, expected ${next}`)
      task.sent.set(receiver, next)
      this.packets.set(`${source}>${receiver}#${number}`, value)
      sameMap(expected.get(receiver) ?? new Map(), packetContents(value), what =>
        this.fail(`C1 ${where}: packet to ${receiver} ${what}`),
      )
      expected.delete(receiver)
    }
    for (const receiver of expected.keys())
      this.fail(`C1 ${where}: no packet to ${receiver} in the outbox`)
    sameMap(task.sent, commit.sent, what => this.fail(`C4 ${where}: sent ${what}`))
  }

  // ---- what leaves

  private delta(receiver: string, batch: FetchedBatch): void {
    for (const { key, value, offset } of batch.records) {
      if (key !== null || value === null) continue
      const where = `deltas of ${receiver}@${offset}`
      const { source, number } = decodePacket(value, where)
      const committed = this.packets.get(`${source}>${receiver}#${number}`)
      if (!committed)
        this.fail(`C3 ${where}: packet ${number} of ${source} comes before its commit`)
      else if (!committed.equals(value)) this.fail(`C4 ${where}: packet ${number} is another one`)
      const line = `${source}>${receiver}`
      const newest = this.newest.get(line) ?? 0
      if (number > newest + 1)
        this.fail(`C4 ${where}: packet ${number} of ${source} after ${newest}`)
      this.newest.set(line, Math.max(newest, number))
    }
  }

  private letter(id: string): void {
    if (!this.lettersDue.has(id)) this.fail(`C3 letter ${id} leaves before its commit`)
    this.letters.add(id)
  }

  private feature({ key, value }: LogRecord): void {
    const [word, count] = [String(key), Number(String(value))]
    if (count > this.countOf(word))
      this.fail(`C3 feature ${word}=${count} leaves before its commit`)
    this.features.set(word, Math.max(count, this.features.get(word) ?? 0))
  }

  tableRow(id: string): void {
    const [name, offset] = id.split('@')
    const position = this.tasks.get(name)?.positions.get('text') ?? 0
    if (Number(offset) >= position) this.fail(`C3 table row ${id} leaves before its commit`)
  }

  view(key: string, view: View, before: View | undefined): void {
    if (before && before.version > view.version)
      this.fail(`C5 ${key}: version ${view.version} replaces ${before.version}`)
    const [output, word] = key.split(':')
    const shown = Object.entries(JSON.parse(`{${view.text}`) as Record<string, number>)
    const state = this.shownOf(output, word)
    const old = before && (JSON.parse(`{${before.text}`) as Record<string, number>)
    for (const [name, n] of shown) {
      if (n > (state[name] ?? 0))
        this.fail(`C3 ${key}: shows ${name} ${n}, committed ${state[name]}`)
      if (old && n < old[name])
        this.fail(`C5 ${key}: ${name} goes back from ${old[name]} to ${n} (${view.version})`)
    }
  }

  /** A store that lost nothing is not refilled, but where no owner lived until the first commit was shown. */
  viewsLost(task: string, through: string, { lostAt }: ViewServer): void {
    if (lostAt === 0 && through > markThrough(1, 0))
      this.fail(`C5 ${task} misses its mark, which says ${through} and was never removed`)
  }

  offset(topic: string, partition: number, offset: number): void {
    const { names } = this.settings
    for (const input of ['text', 'marks'])
      if (topic === names.outside(input)) {
        const position = this.tasks.get(`words-${partition}`)?.positions.get(input) ?? 0
        if (offset > position)
          this.fail(`C6 offset ${offset} of ${topic}-${partition} is ahead of commit ${position}`)
      }
  }

  /** Packets wait that the task has not taken in. */
  hasNewPackets(task: TaskRecount): boolean {
    const log = `${this.settings.names.deltas(task.kind)}-${task.partition}`
    const records = this.inputs.get(log) ?? []
    for (let i = task.positions.get(DELTAS) ?? 0; i < records.length; i++) {
      if (records[i].key !== null) continue
      const { source, number } = decodePacket(records[i].value, log)
      if (number > (task.applied.get(source) ?? 0)) return true
    }
    return false
  }

  /** What a view of a word shows at the last commits. */
  shownOf(output: string, word: string): Record<string, number> {
    const { words, totals } = this.settings
    if (output === 'total')
      return {
        sum: this.tasks.get(`totals-${partitionOfText(word, totals)}`)?.numbers.get(word) ?? 0,
      }
    const row = this.tasks.get(`words-${partitionOfText(word, words)}`)?.words.get(word)
    const count = row?.count ?? 0
    return output === 'list' ? { count } : { count, marks: row?.marks ?? 0 }
  }

  private countOf(word: string): number {
    return this.shownOf('list', word).count
  }

  private fail(what: string): void {
    this.settings.fail(what)
  }
}

const numbersOf = (applied: CommitRecord['applied']): Map<string, number> =>
  new Map([...applied].map(([source, { number }]) => [source, number]))

const letterOf = (headers: Readonly<Record<string, string>>): string =>
  headers.id === undefined
    ? `words-${headers.partition}@${headers.offset}`
    : `alert ${headers.id.split('/')[1]}`

const letterId = (headers: LogRecord['headers']): string =>
  letterOf(Object.fromEntries(headers.map(({ key, value }) => [key, String(value)])))

function same(found: readonly string[], expected: readonly string[], say: (what: string) => void) {
  if (found.length === expected.length) {
    const set = new Set(found)
    if (expected.every(one => set.has(one))) return
  }
  say(`[${[...found].sort()}], the recount says [${[...expected].sort()}]`)
}

function sameMap(
  expected: ReadonlyMap<string, number>,
  found: ReadonlyMap<string, number>,
  say: (what: string) => void,
): void {
  let equal = expected.size === found.size
  for (const [key, n] of expected) if (found.get(key) !== n) equal = false
  if (!equal)
    say(`${JSON.stringify([...found])}, the recount says ${JSON.stringify([...expected])}`)
}
