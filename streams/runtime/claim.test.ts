import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../clock.ts'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { claim } from './claim.ts'
import type { Births } from './generations.ts'
import { OWNER_KEY } from './ownership-record.ts'

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

const claimOn = (on: Transport, cancelled: () => boolean = () => false, births?: Births) =>
  claim(
    {
      transport: on,
      changelog,
      outboxPartitions: () => [outbox],
      writerDeadlineMs: 5_000,
      clock: systemClock,
      births,
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

  it('of a log that is empty although the task had state is refused, and writes nothing', async () => {
    let had = false
    const births: Births = {
      known: async () => had,
      add: async () => {
        had = true
      },
    }
    await claimOn(transport, undefined, births)
    await claimOn(transport, undefined, births)
    await transport.topics.remove([changelog.topic])
    await transport.topics.create([{ topic: changelog.topic, partitions: 1, config: {} }])
    await expect(claimOn(transport, undefined, births)).rejects.toMatchObject({
      code: 'STATE_REMOVED',
      message: expect.stringMatching(/^changelog-0: the log is empty .*freshet reset/),
    })
    expect(await transport.topics.offsets([changelog])).toEqual([{ start: 0, end: 0 }])
  })

  it('that looked before another was first does not take that for removed state', async () => {
    let had = false
    const births: Births = {
      known: async () => {
        if (!had) await claimOn(transport)
        had = true
        return true
      },
      add: async () => undefined,
    }
    expect((await claimOn(transport, undefined, births)).token).toBe(1)
  })

  it('of a log whose head was removed is refused, and writes nothing', async () => {
    const owner = await claimOn(transport)
    await owner.writer.append(changelog, batch())
    await transport.topics.trim(changelog, 1)
    await expect(claimOn(transport)).rejects.toMatchObject({
      code: 'CHANGELOG_CORRUPT',
      message: expect.stringMatching(/^changelog-0@0: the log begins at 1; .*freshet reset/),
    })
    await transport.topics.trim(changelog, 2)
    await expect(claimOn(transport)).rejects.toMatchObject({ code: 'CHANGELOG_CORRUPT' })
    expect(await transport.topics.offsets([changelog])).toEqual([{ start: 2, end: 2 }])
  })

  it.each([
    ['is no JSON', '{"uuid"'],
    ['says nothing', '0'.repeat(0)],
    ['opens nowhere', '{"uuid":"u","opensAt":"1"}'],
  ])('behind an ownership record that %s is refused with its address', async (_, text) => {
    const producerId = await transport.newProducerId()
    const builder = new RecordBatchBuilder()
    builder.add(OWNER_KEY, Buffer.from(text))
    const writer = transport.writer({ producerId, epoch: 0, deadlineMs: 5_000 })
    await writer.append(changelog, builder.finish(systemClock.now()))
    await expect(claimOn(transport)).rejects.toMatchObject({
      code: 'CHANGELOG_CORRUPT',
      message: expect.stringMatching(/^changelog-0@0: the ownership record can't be read/),
    })
  })

  it('behind a batch that no task wrote is refused with its address', async () => {
    await transport.publisher().send(changelog.topic, [{ key: Buffer.from('x'), value: null }])
    await expect(claimOn(transport)).rejects.toMatchObject({
      code: 'CHANGELOG_CORRUPT',
      message: expect.stringMatching(/^changelog-0@0: the last batch was not written by a task/),
    })
  })
})

describe('a claim that slept', () => {
  it('between its look at the log and its record looks again: who was in force may be forgotten', async () => {
    await claimOn(transport)
    let slept = 0
    let looks = 0
    const sleepy: Transport = Object.assign(Object.create(transport), {
      read: async (...args: Parameters<Transport['read']>) => {
        const result = await transport.read(...args)
        if (++looks === 1) slept = 3_600_000
        return result
      },
    })
    const identities: number[] = []
    sleepy.writer = identity => {
      identities.push(identity.epoch)
      return transport.writer(identity)
    }
    await claim(
      {
        transport: sleepy,
        changelog,
        outboxPartitions: () => [outbox],
        writerDeadlineMs: 5_000,
        clock: { ...systemClock, now: () => systemClock.now() + slept },
      },
      () => false,
    )
    const { batches } = await transport.read(changelog, 0)
    const records = batches.flatMap(({ records }) => records)
    expect(records).toHaveLength(2)
    expect(looks).toBeGreaterThan(2)
    expect(identities.at(-1)).toBe(1)
  })
})
