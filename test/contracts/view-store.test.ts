import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEmbeddedStore } from '../../sinks/embedded/store.ts'
import { createRedisStore } from '../../sinks/redis/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { startRedis, uniqueName } from '../support/services.ts'
import { viewStoreContract } from './view-store.contract.ts'

const redisStore = async (url: string, prefix: string) =>
  createRedisStore({ url, prefix, log: silentLogger, clock: systemClock, metrics: noMetrics })

viewStoreContract('Redis', async () => {
  const server = await startRedis()
  const prefix = `${uniqueName('contract')}:`
  return { open: () => redisStore(server.url, prefix), stop: () => server.stop() }
})

viewStoreContract('Redis Cluster of three', async () => {
  const cluster = await startRedis({ cluster: true })
  const prefix = `${uniqueName('contract')}:`
  const url = `redis+cluster://${cluster.urls.map(node => new URL(node).host).join(',')}`
  return { open: () => redisStore(url, prefix), stop: () => cluster.stop() }
})

viewStoreContract('embedded, in a folder', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-views-'))
  return {
    open: async () => createEmbeddedStore({ dir, clock: systemClock }),
    stop: async () => rmSync(dir, { recursive: true }),
  }
})

viewStoreContract('embedded, in memory', async () => {
  const store = createEmbeddedStore({ clock: systemClock })
  let opened = 0
  return {
    // the first two share the rows that a process has; the last is a store of its own to close
    open: async () =>
      opened++ < 2
        ? { ...store, close: async () => undefined }
        : createEmbeddedStore({ clock: systemClock }),
    stop: () => store.close(),
  }
})
