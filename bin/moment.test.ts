import { expect, it } from 'vitest'
import { momentOf } from './call.ts'

it('takes a time without a zone for UTC, and no day that the calendar does not have', () => {
  const noon = Date.UTC(2026, 0, 31, 12)
  for (const text of [
    '2026-01-31T12:00Z',
    '2026-01-31 12:00',
    '2026-01-31T12:00:00.000',
    '2026-01-31T14:00+02:00',
  ])
    expect(momentOf(text), text).toBe(noon)
  expect(momentOf('2026-01-31')).toBe(Date.UTC(2026, 0, 31))
  expect(momentOf('2028-02-29')).toBe(Date.UTC(2028, 1, 29))
  for (const text of [
    '2026-02-30',
    '2026-13-01',
    '2026-01-32T00:00Z',
    '31.01.2026',
    '1764500000',
    'yesterday',
    '',
    undefined,
  ])
    expect(momentOf(text), String(text)).toBeUndefined()
})
