/** C1-C4 on a real broker: workers that are killed -9 and stopped again and again lose nothing and double nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { ToyStream } from '../support/faults/toy-stream.ts'
import { kafkaBrokers } from '../support/services.ts'

/** The toy workers' session timeout is 3 s. */
const BEYOND_SESSION_MS = 4_500

describe('sums through changelogs, deltas and their fences equal the recount', () => {
  let toy: ToyStream
  afterEach(() => toy?.close())

  it('with workers killed -9 in mid-stream', async () => {
    toy = await ToyStream.open(await kafkaBrokers())
    let survivor = toy.start()
    for (let round = 0; round < 6; round++) {
      const doomed = toy.start()
      for (let i = 0; i < 20; i++) {
        await toy.send(200)
        await sleep(60 + ((round * 37) % 100))
      }
      // in turn the younger, the older, or both at once
      doomed.signal('SIGKILL')
      if (round % 2 === 1) {
        survivor.signal('SIGKILL')
        survivor = toy.start()
      }
    }
    await toy.expectExact()
    expect(await survivor.stop(), survivor.output).toBe(0)
  }, 180_000)

  it('with workers stopped beyond their session and going on as zombies', async () => {
    toy = await ToyStream.open(await kafkaBrokers())
    const workers = [toy.start(), toy.start()]
    await toy.send(200)
    await toy.caughtUp()
    for (let round = 0; round < 3; round++) {
      const stopped = workers[round % 2]
      const sending = (async () => {
        for (let i = 0; i < BEYOND_SESSION_MS / 100; i++) {
          await toy.send(100)
          await sleep(100)
        }
      })()
      await sleep(137 + round * 61)
      stopped.signal('SIGSTOP')
      await sending
      stopped.signal('SIGCONT')
      await toy.send(100)
    }
    await toy.expectExact()
    for (const worker of workers) expect(await worker.stop(), worker.output).toBe(0)
  }, 180_000)
})
