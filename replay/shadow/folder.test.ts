import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { takeLock } from '../archive/lock.ts'
import { ReplayFolder } from './folder.ts'

const root = mkdtempSync(join(tmpdir(), 'freshet-replay-folder-'))
afterAll(() => rmSync(root, { recursive: true }))

const counts = { records: 0, deadLetters: 0 }
const checkpoint = { number: 0, at: 0, logs: {}, packets: [], step: null, counts, done: false }

it('a start that was killed while it copied a state leaves nothing to the next one of its name', async () => {
  const folder = new ReplayFolder(root, 'r')
  const release = takeLock(folder.dir, 'replay', 'the replay')
  await folder.putCheckpoint(checkpoint)
  expect(folder.exists).toBe(false)
  folder.removeLeftovers()
  expect(readdirSync(folder.dir)).toEqual(['lock'])
  await folder.create({
    ...{ format: 1, name: 'r', created: 0, source: { kind: 'kafka' }, topologies: 'toy' },
    ...{ set: {}, state: 'empty', ranges: {}, generation: 1, stepMs: 1000, backfill: null },
  })
  expect(folder.checkpoint()).toBeUndefined()
  await folder.putCheckpoint(checkpoint)
  folder.removeLeftovers()
  expect(folder.checkpoint()).toEqual(checkpoint)
  release()
})
