/** Archives the embedded log in one folder into another, with a checkpoint after each batch; prints how many records came. */
import { systemClock } from '../../streams/clock.ts'
import { createEmbeddedTransport } from '../../streams/transport/embedded/index.ts'
import { run, slowly, topicsOf } from './archived-log.ts'

const [dir, to] = process.argv.slice(2)
const transport = createEmbeddedTransport({ dir, readOnly: true })
let told = 0
await run(to, {
  transport: slowly(transport),
  source: { find: async () => null },
  topics: topicsOf('events', 'erasures'),
  clock: { ...systemClock, now: () => 0 },
  checkpointMs: 0,
  onProgress: records => {
    if (records === told) return
    told = records
    process.stdout.write(`${records}\n`)
  },
})
await transport.close()
