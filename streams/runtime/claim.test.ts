import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../clock.ts'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { claim } from './claim.ts'

const changelog = { topic: 'changelog', partition: 0 }
const outbox = { topic: 'deltas', partition: 0 }
let dir: string
let transport: Transport

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'freshet-claim-'))
  transport = await createEmbeddedTransport({ dir })
  await transport.topics.create(
    [changelog, outbox].map(({ topic }) => ({ topic, partitions: 1, config: {} })),
  )
})

afterEach(async () => {
  await transport.close()
  rmSync(dir, { recursive: true, force: true })
})

const claimOn = (on: Transport, cancelled: () => boolean = () => false) =>
  claim(
    {
      transport: on,
      changelog,
      outboxPartitions: () => [outbox],
      writerDeadlineMs: 5_000,
      clock: systemClock,
    },
    cancelled,
  )

function batch() {
  const builder = new RecordBatchBuilder()
  builder.add(Buffer.from([1, 97]), Buffer.from('x'))
  return builder.finish(systemClock.now())
}

/** A contender that saw the log as it is now, and gets on when `go` is called. */
function late(cancelled?: () => boolean) {
  let go: () => void = () => undefined
  const held = new Promise<void>(resolve => {
    go = resolve
  })
  let reached: () => void = () => undefined
  const waits = new Promise<void>(resolve => {
    reached = resolve
  })
  const slow: Transport = Object.assign(Object.create(transport), {
    newProducerId: async () => {
      reached()
      await held
      return transport.newProducerId()
    },
  })
  return { owner: claimOn(slow, cancelled), waits, go }
}

/** Writes the line's last epoch, as 32,766 owners do. */
async function useUpEpochs(): Promise<void> {
  const producerId = await transport.newProducerId()
  await transport
    .writer({ producerId, epoch: 32_766, deadlineMs: 5_000 })
    .append(changelog, batch())
}

describe('C2: a claim', () => {
  for (const [when, before] of [
    ['on an empty log', async () => undefined],
    ['after a line of epochs has ended', useUpEpochs],
  ] as const)
    it(`fences whoever opened a line meanwhile, ${when}`, async () => {
      await before()
      const slow = late()
      await slow.waits
      const quick = await claimOn(transport)
      slow.go()
      const last = await slow.owner
      expect(last.token).toBeGreaterThan(quick.token)
      await last.writer.append(changelog, batch())
      await expect(quick.writer.append(changelog, batch())).rejects.toMatchObject({
        code: 'FENCED',
      })
    })

  it('passes over an opening that came too late, and fences the line that is in force', async () => {
    let looks = 0
    const slow = late(() => looks++ > 0)
    await slow.waits
    const quick = await claimOn(transport)
    slow.go()
    // gone before it looks again: its opening is the log's last batch
    await expect(slow.owner).rejects.toMatchObject({ code: 'CLOSED' })
    const [{ end }] = await transport.topics.offsets([changelog])
    expect(end).toBe(2)
    const third = await claimOn(transport)
    expect(third.writer.producerId).toBe(quick.writer.producerId)
    await expect(quick.writer.append(changelog, batch())).rejects.toMatchObject({ code: 'FENCED' })
  })

  it('puts the highest epoch on every partition of a line that has used up its own', async () => {
    await useUpEpochs()
    const owner = await claimOn(transport)
    expect(owner.writer.epoch).toBe(0)
    const { batches } = await transport.read(outbox, 0)
    expect(batches.map(b => b.producerEpoch)).toEqual([32_767])
    await owner.writer.append(changelog, batch())
  })
})
