/** The followed tables of a part: restored from the logs of the tasks they follow, then kept up step by step (S3). */

import { FreshetError } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import type { Metrics } from '../../streams/metrics.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import type { Application, FollowedTable, TableSpec } from '../../streams/topology/stage.ts'
import type { FetchedBatch } from '../../streams/transport/port.ts'
import { decodeRecordSet } from '../../streams/transport/record-batch.ts'
import type { FollowedBatch } from './steps.ts'

export class PartTables {
  private readonly tables = new Map<string, { spec: TableSpec; table: FollowedTable }>()

  /** `named`: those that the part's tasks read. */
  constructor(
    application: Application,
    named: ReadonlySet<string>,
    around: { now(): number; metrics: Metrics; log: Logger },
  ) {
    for (const spec of application.tables)
      if (named.has(spec.name)) this.tables.set(spec.name, { spec, table: spec.create(around) })
  }

  /** Kinds of tasks whose commits are taken in here. */
  get follows(): ReadonlySet<string> {
    return new Set([...this.tables.values()].flatMap(({ spec }) => spec.follows))
  }

  get<T>(name: string): T {
    const followed = this.tables.get(name)
    if (!followed) throw new FreshetError('BUG', `a replay without the table ${name}`)
    return followed.table as T
  }

  apply({ kind, partition, bytes }: FollowedBatch): void {
    for (const batch of decodeRecordSet(bytes, kind, partition, 0).batches)
      this.applyBatch(kind, partition, batch)
  }

  applyBatch(kind: string, partition: number, { records }: FetchedBatch): void {
    for (const { spec, table } of this.tables.values()) {
      if (!spec.follows.includes(kind)) continue
      for (const { key, value } of records)
        if (key !== null && key[0] !== 0)
          table.apply(
            kind,
            partition,
            key[0],
            new ByteReader(key, 1),
            value && new ByteReader(value),
          )
      table.batchApplied?.()
    }
  }
}
