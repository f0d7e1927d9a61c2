import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import { openingOf } from './open-part.ts'

const root = mkdtempSync(join(tmpdir(), 'freshet-open-part-'))
afterAll(() => rmSync(root, { recursive: true }))

it('what is written after a kill is newer than what was before, with and without a checkpoint between', async () => {
  const folder = new ReplayFolder(root, 'r')
  const NOW = Date.parse('2026-03-01T00:00:00Z')
  const first = openingOf(folder, NOW)
  const second = openingOf(folder, NOW + 900.5)
  expect(second).toBeGreaterThan(first)
  const counts = { records: 0, deadLetters: 0 }
  const empty = { at: 0, logs: {}, packets: [], step: null, counts, done: false }
  await folder.putCheckpoint({ ...empty, number: 3 })
  expect(openingOf(folder, NOW + 2_000)).toBeGreaterThan(second)
  expect(openingOf(folder, 0)).toBe(4)
})
