/** The stores of a task by their numbers, which stand first in the keys of their rows. */
import { FreshetError, messageOf } from '../errors.ts'
import { ByteReader } from '../serde/bytes.ts'
import type { Stage } from '../topology/stage.ts'
import type { Row, Store } from '../topology/store.ts'
import type { LogRecord } from '../transport/port.ts'

export class TaskStores {
  /** In the stages' order. */
  readonly all: readonly Store<Row>[]
  private readonly byId: (Store<Row> | undefined)[] = []

  /** Errors: BUG for a number that is taken, or outside 1 to 255. */
  constructor(kind: string, stages: readonly Stage[]) {
    this.all = stages.flatMap(stage => (stage.stores ?? []) as readonly unknown[]) as Store<Row>[]
    for (const store of this.all) {
      const taken = this.byId[store.spec.id]
      if (taken || store.spec.id < 1 || store.spec.id > 255)
        throw new FreshetError(
          'BUG',
          `task kind ${kind}: store ${store.spec.name} wants number ${store.spec.id}, ${taken ? `which ${taken.spec.name} has` : 'outside 1-255'}`,
        )
      this.byId[store.spec.id] = store
    }
  }

  /** Rows that the next commit must hold. */
  get dirtyExact(): number {
    let rows = 0
    for (const store of this.all) if (store.spec.write === 'exact') rows += store.dirtyCount
    return rows
  }

  /**
   * Gives a row of the changelog to its store. Errors: CHANGELOG_NEWER for a store that this task does not have, whose rows
   * would be lost in silence; CHANGELOG_CORRUPT for a row that is cut or not read to its end. `where` gives the address of
   * an offset: a million rows are restored in a second, and none of them needs its own.
   */
  restore(record: LogRecord, where: (offset: number) => string): void {
    const key = record.key as Buffer
    const store = this.byId[key[0]]
    if (!store)
      throw new FreshetError(
        'CHANGELOG_NEWER',
        `${where(record.offset)}: a row of store ${key[0]}, which this task does not keep: a newer version or one with more topologies wrote it; run that version, with the same \`topologies\`, or begin anew with \`freshet reset\``,
      )
    const value = record.value === null ? null : new ByteReader(record.value)
    try {
      store.spec.restore(new ByteReader(key, 1), value)
      if (value !== null && value.left > 0)
        throw new RangeError(`${value.left} bytes are left over`)
    } catch (error) {
      const row = `${where(record.offset)}: row of ${store.spec.name} can't be read (${messageOf(error)})`
      const otherVersion = error instanceof FreshetError
      throw new FreshetError(
        otherVersion ? error.code : 'CHANGELOG_CORRUPT',
        `${row}; ${otherVersion ? 'run the version that wrote it' : 'restore the topic from its replicas'}, or begin anew with \`freshet reset\``,
        error,
      )
    }
  }
}

/** The lowest offset whose work is not yet out, of all stages; undefined: none waits. */
export function lowestUnfinished(stages: readonly Stage[]): number | undefined {
  const waiting = stages.flatMap(stage => stage.unfinishedFrom?.() ?? [])
  return waiting.length > 0 ? Math.min(...waiting) : undefined
}
