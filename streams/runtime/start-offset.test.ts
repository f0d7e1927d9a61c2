import { describe, expect, it } from 'vitest'
import { startOffset } from './start-offset.ts'

const at = { topic: 't', partition: 3 }
const bounds = { start: 10, end: 20 }

describe('C6: a task begins to read', () => {
  it('where it stands, or at the end it was told to', () => {
    for (const position of [10, 15, 20])
      expect(startOffset(at, bounds, position, 'latest')).toBe(position)
    expect(startOffset(at, bounds, undefined, 'earliest')).toBe(10)
    expect(startOffset(at, bounds, undefined, 'latest')).toBe(20)
    expect(startOffset(at, { start: 0, end: 5 }, undefined, 'whole')).toBe(0)
  })

  it.each([
    [
      'below the start: retention took them',
      9,
      'earliest',
      'POSITION_LOST',
      /records 9 to 9 are gone/,
    ],
    [
      'beyond the end: made anew',
      21,
      'earliest',
      'POSITION_LOST',
      /up to 20 .* the log ends at 20/,
    ],
    [
      'without a position, where packets are trimmed',
      undefined,
      'whole',
      'STATE_REMOVED',
      /begins at 10/,
    ],
  ] as const)('never %s', (_, position, fresh, code, message) => {
    let error: unknown
    try {
      startOffset(at, bounds, position, fresh)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(error).toMatchObject({ message: expect.stringMatching(/^t-3: .*freshet reset/) })
  })
})
