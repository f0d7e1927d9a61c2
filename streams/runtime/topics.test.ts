import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toyApplication } from '../../test/support/toy-application.ts'
import { createEmbeddedTransport } from '../transport/embedded/index.ts'
import type { Transport } from '../transport/port.ts'
import { topicNames } from './names.ts'
import { ensureInternalTopics, internalTopics, refuseRemovedState } from './topics.ts'

const names = topicNames('t.', 1)
const counts = new Map([
  ['words', 2],
  ['totals', 2],
])
const specs = internalTopics(toyApplication(), names, counts)
let transport: Transport

beforeEach(async () => {
  transport = createEmbeddedTransport({ memory: true })
})
afterEach(() => transport.close())

const check = (...stateful: string[]): Promise<void> =>
  refuseRemovedState(
    toyApplication(),
    names,
    transport.topics,
    ({ kind, partition }) => stateful.includes(`${kind}-${partition}`),
    counts,
  )

const fill = (topic: string, partition: number): Promise<void> =>
  transport.publisher().send(topic, [{ key: null, value: Buffer.from('x'), partition }])

describe('a start', () => {
  it('goes on where nothing had state yet: topics may be half made', async () => {
    await ensureInternalTopics(transport.topics, specs.slice(0, 1))
    await expect(check()).resolves.toBeUndefined()
  })

  it('names every topic that is missing of what had state, its deltas too', async () => {
    await ensureInternalTopics(transport.topics, specs.slice(0, 1))
    await expect(check('words-0', 'totals-1')).rejects.toMatchObject({
      code: 'STATE_REMOVED',
      message: expect.stringMatching(
        /^t\.g1\.totals-changelog, t\.g1\.totals-deltas: is not there, .*freshet reset/,
      ),
    })
  })

  it('names the partition that is empty of what had state', async () => {
    await ensureInternalTopics(transport.topics, specs)
    await fill(names.changelog('words'), 0)
    await expect(check('words-0')).resolves.toBeUndefined()
    await expect(check('words-0', 'words-1')).rejects.toMatchObject({
      code: 'STATE_REMOVED',
      message: expect.stringMatching(/^t\.g1\.words-changelog-1: is empty, although/),
    })
  })

  it('refuses another number of partitions than the input has, with the way out', async () => {
    await ensureInternalTopics(transport.topics, specs)
    const other = internalTopics(toyApplication(), names, new Map([...counts, ['words', 3]]))
    await expect(ensureInternalTopics(transport.topics, other)).rejects.toMatchObject({
      code: 'PARTITION_COUNT',
      message: expect.stringMatching(/words-changelog has 2 .* now has 3: .*freshet reset/),
    })
  })
})
