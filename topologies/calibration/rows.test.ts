import { describe, expect, it } from 'vitest'
import { Bases } from '../ledger/bases.ts'
import { Slot } from '../ledger/slots.ts'
import { calibrationRows } from './rows.ts'

describe('rows of calibration', () => {
  it('are bounded where every impression names another model: those with most scores are told', () => {
    const bases = new Bases()
    const slot = new Slot(1, 1)
    for (let k = 0; k < 100; k++) {
      const dims = { policy: 'p', model: `m${k}`, surface: 's', cohort: 'c', arms: [] }
      const scores = slot.cell(bases.of(dims, () => undefined)).scores()
      for (let n = 0; n <= k; n++) scores.add(0.5, n % 2 === 0)
    }
    const rows = calibrationRows(slot, [slot], 'auto', n => bases.at(n), 1)
    const told = new Set(rows.map(row => row.model))
    expect([...told].sort()).toEqual(Array.from({ length: 16 }, (_, k) => `m${84 + k}`))
    expect(rows.length).toBe(16 * 4 * 10)
  })
})
