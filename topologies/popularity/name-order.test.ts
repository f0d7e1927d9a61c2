import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Names } from '../items/names.ts'
import { NameOrder } from './name-order.ts'

describe('name order', () => {
  it('equals sorting all names anew, however they came in', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.string({ maxLength: 3 }))), groups => {
        const names = new Names()
        const order = new NameOrder(names)
        for (const group of groups) {
          for (const name of group) names.index(name)
          const sorted = Array.from({ length: names.size }, (_, i) => names.nameOf(i)).sort()
          expect([...order.indexAt()].map(index => names.nameOf(index))).toEqual(sorted)
          const ranks = order.rankOf()
          sorted.forEach((name, rank) => {
            expect(ranks[names.index(name)]).toBe(rank)
          })
        }
      }),
    )
  })
})
