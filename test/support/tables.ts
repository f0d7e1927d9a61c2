/** The real ClickHouse engine in this process, with freshet's tables, for tests. */
import { type ClickHouseStore, createClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'

/** In `folder`, which the caller makes and removes. Rows are stored at once. */
export async function madeTables(folder: string): Promise<ClickHouseStore> {
  const store = await createClickHouseStore({
    url: `chdb:${folder}`,
    database: 'freshet',
    run: 'live',
    log: silentLogger,
    metrics: noMetrics,
    clock: systemClock,
    flushMs: 10,
  })
  await store.migrate()
  return store
}
