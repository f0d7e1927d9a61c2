import { describe, expect, it } from 'vitest'
import { WindowsTable } from '../popularity/windows-table.ts'
import { cohortPopularity } from './cohort-popularity.ts'

describe('what cohorts watch', () => {
  it('is the decayed trend of each, best first, by item index, without what is withdrawn', () => {
    const table = new WindowsTable({ 'popularity.trendHalfLife': 3_600_000 })
    const ids = ['other', 'a', 'b', 'c']
    const gone = new Set<number>()
    const popularity = cohortPopularity(
      {
        index: id => ids.indexOf(id),
        withdrawnAt: index => (gone.has(index) ? 1 : 0),
      },
      table,
      2,
    )
    const hour = 480_000
    // {count * 64 + minute of the hour}
    const counts = (n: number) => [n * 64 + 5]
    const watch = (item: string, cohort: string, n: number, at: number) => {
      table.windows.put(item, cohort, hour, counts(n))
      table.at = at
      table.batchApplied()
    }
    const at = hour * 3_600_000 + 10 * 60_000
    popularity.refresh(0)
    expect(popularity.listed).toEqual([0])
    watch('a', 'de', 3, at)
    watch('b', 'de', 9, at)
    watch('c', 'fr', 4, at)
    expect(popularity.listed).toEqual([0])
    popularity.refresh(1)
    expect(popularity.listed.map(c => popularity.cohortName(c))).toEqual(['', 'de', 'fr'])
    expect([...popularity.popular(1).keys()]).toEqual([2, 1])
    expect([...popularity.popular(2).keys()]).toEqual([3])
    const [first, second] = popularity.popular(1).values()
    expect(first / second).toBeCloseTo(3, 9)
    gone.add(2)
    watch('a', 'de', 4, at + 1)
    popularity.refresh(2)
    expect([...popularity.popular(1).keys()]).toEqual([1])
    // a third cohort is more active than one of the two that there is room for: seen within a minute
    watch('c', 'it', 8, at + 2)
    popularity.refresh(3)
    expect(popularity.listed.map(c => popularity.cohortName(c))).toEqual(['', 'de', 'fr'])
    watch('c', 'it', 9, at + 3)
    popularity.refresh(60_003)
    expect(popularity.listed.map(c => popularity.cohortName(c))).toEqual(['', 'de', 'it'])
  })
})
