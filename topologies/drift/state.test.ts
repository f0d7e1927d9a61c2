import { expect, it } from 'vitest'
import { Histogram } from './histogram.ts'
import { collect, newReference } from './reference.ts'
import { SegmentValues } from './segments.ts'
import { statisticsState } from './state.ts'
import { Watermark } from './watermark.ts'

it('the whole has its rate of false alarms for itself, all segments share another; each window size has its own', () => {
  const { references } = statisticsState(new Watermark(1, () => 1), new SegmentValues([]))
  const freeze = (subject: string, segment: string, size: number): void => {
    const row = newReference(subject, segment, size, Histogram.numbers(2))
    const rows = Histogram.numbers(2)
    rows.add(0, 0, 1)
    collect(row, 0, rows, 1)
    references.set({ subject, segment, size }, row)
  }
  for (const subject of ['a', 'b'])
    for (const segment of ['', 'surface=home', 'surface=player', 'cohort=x'])
      freeze(subject, segment, 0)
  freeze('a', '', 1)
  // still being collected
  references.set(
    { subject: 'c', segment: '', size: 0 },
    newReference('c', '', 0, Histogram.numbers(2)),
  )
  expect(references.compared({ segment: '', size: 0 })).toBe(2)
  expect(references.compared({ segment: 'cohort=x', size: 0 })).toBe(6)
  expect(references.compared({ segment: '', size: 1 })).toBe(1)
  references.delete({ subject: 'b', segment: 'surface=home', size: 0 })
  expect(references.compared({ segment: 'surface=player', size: 0 })).toBe(5)
  // compacted away and restored again: counted once
  freeze('a', '', 0)
  expect(references.compared({ segment: '', size: 0 })).toBe(2)
})
