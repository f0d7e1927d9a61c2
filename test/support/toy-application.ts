/**
 * The smallest application with every part of the protocol: `words` counts words per key from an outside topic (exact
 * store, views, table rows, dead letters) and sends counts per word to `totals`, which sums them. Words are compared with a
 * plain recount, so a lost or doubled step shows.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { DeltaChannel, Outbox } from '../../streams/topology/outbox.ts'
import type {
  Application,
  FollowedTable,
  Stage,
  TaskContext,
} from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'

const COUNTS: DeltaChannel = { id: 1, name: 'counts', to: 'totals' }

interface CountRow extends Row {
  readonly word: string
  count: number
}

class Counts {
  readonly rows = new Map<string, CountRow>()
  readonly store: Store<CountRow>

  constructor(id: number, name: string) {
    this.store = new Store<CountRow>({
      id,
      name,
      write: 'exact',
      writeKey: (row, w) => w.rawString(row.word),
      writeValue: (row, w) => w.uint(row.count),
      restore: (key, value) => {
        const word = key.rawString()
        if (value === null) this.rows.delete(word)
        else this.rows.set(word, { word, count: value.uint(), dirty: false, removed: false })
      },
    })
  }

  add(word: string, n: number): CountRow {
    let row = this.rows.get(word)
    if (!row) {
      row = { word, count: 0, dirty: false, removed: false }
      this.rows.set(word, row)
    }
    row.count += n
    this.store.touch(row)
    return row
  }
}

interface WordEvent {
  readonly kind: 'word'
  readonly word: string
  readonly recordTs: number
}

function wordsStage(ctx: TaskContext): Stage<WordEvent> {
  const counts = new Counts(1, 'words')
  const pending = new Map<string, number>()
  const toShow = new Map<string, number>()
  return {
    name: 'words',
    stores: [counts.store],
    process(event) {
      counts.add(event.word, 1)
      pending.set(event.word, (pending.get(event.word) ?? 0) + 1)
      toShow.set(event.word, event.recordTs)
      return undefined
    },
    flush(out: Outbox) {
      const writers = new Map<number, ByteWriter>()
      for (const [word, n] of pending) {
        const partition = partitionOfText(word, ctx.partitionsOf('totals'))
        const w = writers.get(partition) ?? out.delta(COUNTS, partition)
        writers.set(partition, w)
        w.string(word).uint(n)
        out.row('words', { word, n })
      }
      pending.clear()
      for (const [word, recordTs] of toShow)
        out.view({
          op: 'json',
          key: `word:${word}`,
          body: `"count":${counts.rows.get(word)?.count}}`,
          ttlMs: 60_000,
          recordTs,
        })
      toShow.clear()
    },
    restored(last) {
      for (const { key } of last) toShow.set(key.toString(), ctx.now())
    },
  }
}

function totalsStage(): Stage {
  const totals = new Counts(1, 'totals')
  return {
    name: 'totals',
    stores: [totals.store],
    receives: [COUNTS],
    receive(_channel, payload: ByteReader) {
      while (payload.left > 0) totals.add(payload.string(), payload.uint())
    },
  }
}

/** Follows `totals`: word -> sum, for tests to read. */
export class TotalsTable implements FollowedTable {
  readonly sums = new Map<string, number>()
  apply(
    _kind: string,
    _partition: number,
    _store: number,
    key: ByteReader,
    value: ByteReader | null,
  ) {
    if (value) this.sums.set(key.rawString(), value.uint())
  }
}

/** `onTable` gets the table as soon as it is made. Records whose value is `bad...` are dead letters. */
export function toyApplication(onTable?: (table: TotalsTable) => void): Application {
  return {
    kinds: [
      {
        name: 'words',
        inputs: ['text'],
        deltas: false,
        commitIntervalMs: 20,
        tables: ['totals'],
        create: ctx => ({
          decode: (_topic, record) => {
            const word = record.value?.toString() ?? ''
            return word.startsWith('bad')
              ? { bad: 'DECODE_FAILED', message: `not a word: ${word}` }
              : { ok: { kind: 'word', word, recordTs: record.timestamp } }
          },
          stages: [wordsStage(ctx) as Stage],
        }),
      },
      {
        name: 'totals',
        inputs: [],
        partitions: 2,
        deltas: true,
        commitIntervalMs: 50,
        tables: [],
        create: () => ({ decode: () => 'skip', stages: [totalsStage()] }),
      },
    ],
    tables: [
      {
        name: 'totals',
        follows: ['totals'],
        create: () => {
          const table = new TotalsTable()
          onTable?.(table)
          return table
        },
      },
    ],
  }
}
