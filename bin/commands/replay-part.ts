/** A process of a replay that was started with several; never called by hand. */
import { Command } from 'commander'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import { servePart } from '../../replay/shadow/remote-part.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { EXIT, notDone } from '../call.ts'
import { createLogger } from '../logger.ts'
import { openPart } from '../replay/open-part.ts'
import { optionsOfOrder, PART_COMMAND, type PartOrder } from '../replay/part-order.ts'

export function replayPartCommand(): Command {
  return new Command(PART_COMMAND).action(async () => {
    process.exitCode = await serve()
  })
}

async function serve(): Promise<number> {
  if (!process.send)
    return notDone(`${PART_COMMAND} is started by \`freshet replay start --workers N\` alone`)
  // a signal goes to the whole group: the process that leads decides when this one ends
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)
  const isInOrder = await servePart(async first => {
    const order = first as PartOrder
    const { dataDir, name, index, of } = order
    const values = optionsOfOrder(order)
    const log = createLogger(values['log.level'])
    const folder = new ReplayFolder(dataDir, name)
    return openPart({ values, log, metrics: noMetrics }, folder, index, of)
  })
  if (!isInOrder) process.exit(EXIT.failed)
  setTimeout(() => process.exit(), 200).unref()
  return EXIT.done
}
