/** C7: how large a commit becomes when it is cut where CommitSize says, whatever a row turns out to hold. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { COMMIT_CUT_ROWS, CommitSize } from './commit-size.ts'

/** What the topic takes. */
const LIMIT_BYTES = 8 * 1024 * 1024

/** The rows changed until the next commit is full, all of them of `rowBytes`; the commit is made. */
function fill(size: CommitSize, rowBytes: number): number {
  let rows = 0
  while (!size.full(rows, 0)) rows++
  size.committed(rows, rows * rowBytes)
  return rows
}

describe('C7: a commit that is cut where it is full', () => {
  it('fits the topic from the first one on, though nothing is known of the rows yet', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32 * 1024 }), rowBytes => {
        const size = new CommitSize()
        for (let commit = 0; commit < 5; commit++)
          expect(fill(size, rowBytes) * rowBytes).toBeLessThanOrEqual(LIMIT_BYTES)
      }),
    )
  })

  it('fits the topic when rows become almost four times as large from one commit to the next', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 300, max: 4096 }),
        fc.array(fc.double({ min: 0.5, max: 3.9, noNaN: true }), { minLength: 1, maxLength: 20 }),
        (first, factors) => {
          const size = new CommitSize()
          fill(size, first)
          let last = first
          for (const factor of factors) {
            const rowBytes = Math.floor(Math.min(64 * 1024, last * factor))
            const rows = fill(size, rowBytes)
            expect(rows * rowBytes).toBeLessThanOrEqual(LIMIT_BYTES)
            last = rowBytes
          }
        },
      ),
    )
  })

  it('takes as many small rows as a commit may have once it knows that they are small', () => {
    const size = new CommitSize()
    fill(size, 100)
    expect(fill(size, 100)).toBe(COMMIT_CUT_ROWS)
  })
})
