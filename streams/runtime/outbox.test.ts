import { describe, expect, it } from 'vitest'
import { CommitOutbox } from './outbox.ts'

const revisions = (generation: number, ...given: (number | undefined)[]): unknown[] => {
  const outbox = new CommitOutbox({
    topology: 'user',
    partition: 0,
    generation,
    outsideName: topic => topic,
    now: () => 0,
  })
  for (const revision of given) outbox.row('drift', { subject: 's', revision })
  return (outbox.close().tables.get('drift') ?? []).map(row => row.revision)
}

describe('rows of an outbox', () => {
  it('of a generation replace all of those before, as newer ones of its own do', () => {
    expect(revisions(1, 1, 5, undefined)).toEqual([1, 5, undefined])
    const [second] = revisions(2, 1) as number[]
    const [third, newer] = revisions(3, 1, 2) as number[]
    expect(second).toBeGreaterThan(1_000_000)
    expect(third).toBeGreaterThan(second + 1_000_000)
    expect(newer - third).toBe(1)
    expect(Number.isSafeInteger((revisions(1_000_000, 1_000_000) as number[])[0])).toBe(true)
  })
})
