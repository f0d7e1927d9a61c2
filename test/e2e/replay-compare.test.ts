/**
 * `freshet replay compare` as a user calls it, on embedded parts: a live system that served lists to a small world, a replay
 * of its whole log, and another one with another formula.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CompareReport } from '../../replay/compare/report.ts'
import { answerOf, endRuns, freshet, Run } from './command.ts'

const cwd = mkdtempSync(join(tmpdir(), 'freshet-e2e-compare-'))
const data = join(cwd, 'world', 'demo')
/** As the demo has them. */
const place = {
  cwd,
  variables: {
    FRESHET_DATA_DIR: data,
    FRESHET_TOPICS_PARTITIONS: '1',
    FRESHET_DRIFT_REFERENCE_WINDOWS: '5',
    FRESHET_DRIFT_REFERENCE_WARM_UP: '3m',
    FRESHET_DRIFT_DELAY: '5s',
  },
}

async function compared(name: string, ...args: string[]) {
  const { code, stdout, stderr } = await freshet(
    place,
    'replay',
    'compare',
    name,
    '--json',
    ...args,
  )
  if (stdout === '') throw new Error(`compare ended with ${code}: ${stderr}`)
  return { code, report: JSON.parse(stdout) as CompareReport }
}

/** The demo ends with records that nobody has taken in. */
async function takeInTheRest(): Promise<void> {
  const run = await new Run(place).ready()
  for (let n = 0; n < 100; n++) {
    await sleep(500)
    const lags = [...(await run.metrics()).matchAll(/^freshet_lag_records\{.*\} (\d+)$/gm)]
    if (lags.length > 0 && lags.every(([, lag]) => lag === '0')) break
  }
  // statistics that are corrected once nothing comes for 10 s
  await sleep(15_000)
  expect(await run.stop()).toBe(0)
}

beforeAll(async () => {
  const { code, stderr } = await freshet(
    place,
    'demo',
    '--minutes',
    '0.5',
    '--data',
    join(cwd, 'world'),
  )
  expect([0, 3], stderr).toContain(code)
  await takeInTheRest()
  await answerOf(place, 'replay', 'start', 'again')
}, 300_000)

afterAll(async () => {
  await endRuns()
  rmSync(cwd, { recursive: true, force: true })
})

describe('a replay against live', () => {
  it('has equal exact parts, lists that are alike, and features as they were served', async () => {
    const out = join(cwd, 'out')
    const { code, report } = await compared('again', '--out', out)
    expect(report).toMatchObject({ replay: 'again', with: 'live', options: {} })
    expect(report.positions).toMatchObject({ same: true, behind: 0, ahead: 0 })
    expect(report.exactReason).toBe('')
    expect(report.exact).toEqual({ sessions: true, labels: true, counts: true, histograms: true })
    expect(report.counts?.agreement).toBe(1)
    expect(report.sessions?.both).toBeGreaterThan(100)
    expect(report.sessions?.equalOfSameMoment).toBe(report.sessions?.both)
    expect(report.lists?.users.both).toBeGreaterThan(100)
    expect(report.lists?.users.rbo.mean).toBeGreaterThan(0.4)
    expect(report.parity?.compared).toBeGreaterThan(100)
    expect(report.parity?.equalValues).toBeGreaterThan(0.3)
    expect(report.notes).toEqual([])
    expect(code).toBe(report.checks.some(({ holds }) => holds === false) ? 3 : 0)
    expect(JSON.parse(readFileSync(join(out, 'compare-live.json'), 'utf8'))).toEqual(report)
    expect(readFileSync(join(out, 'compare-live.html'), 'utf8')).toMatch(/^<!doctype html>/)
  }, 120_000)

  it('holds what the call asks for, and says what is beyond', async () => {
    const off = ['rbo', 'drift', 'histograms', 'calibration', 'quality', 'experiments', 'parity']
    const all = off.map(name => `${name}=off`).join(',')
    const held = await freshet(
      place,
      'replay',
      'compare',
      'again',
      '--tolerance',
      all,
      '--users',
      '50',
    )
    expect(held.stdout).toMatch(/within the tolerances: exact, counts, sessions\n/)
    expect(held.stdout).toMatch(/sessions: 50 of 50 sampled users in both, 50 of them equal/)
    expect(held.code).toBe(0)
    expect(existsSync(join(data, 'replays', 'again', 'compare-live.html'))).toBe(true)
    const beyond = await freshet(
      place,
      'replay',
      'compare',
      'again',
      '--tolerance',
      `${all},parity=1`,
    )
    expect(beyond.stdout).toMatch(/beyond the tolerances: parity\n/)
    expect(beyond.code).toBe(3)
  }, 120_000)

  it('refuses what can not be compared', async () => {
    for (const [args, sentence] of [
      [['nothing'], /there is no replay nothing/],
      [['again', '--with', 'again'], /--with got "again", which is the replay itself/],
      [['again', '--with', 'nothing'], /there is no replay nothing/],
      [['again', '--tolerance', 'rbo'], /--tolerance got "rbo"; it takes NAME=SHARE/],
      [['again', '--users', '0'], /--users got "0"/],
      [['again', '--equal-within', '2'], /--equal-within got "2"/],
      [['again', '--prequential', 'x'], /--prequential got "x"/],
    ] as const) {
      const { code, stderr } = await freshet(place, 'replay', 'compare', ...args)
      expect(stderr).toMatch(sentence)
      expect(code).toBe(2)
    }
  }, 120_000)
})

it('a replay with another formula against one with that of live: lists differ, what was counted does not', async () => {
  await answerOf(place, 'replay', 'start', 'other', '--set', 'topk.temperature=2')
  const { code, report } = await compared('other', '--with', 'again', '--prequential', '200')
  expect(report.options).toEqual({ 'topk.temperature': { replay: '2', with: expect.any(String) } })
  expect(report.exact).toEqual({ sessions: true, labels: true, counts: true, histograms: true })
  expect(report.lists?.users.rbo.mean).toBeLessThan(0.8)
  expect(report.checks.find(({ name }) => name === 'rbo')?.holds).toBe(false)
  expect(code).toBe(3)
  expect(report.prequential?.plays).toBe(200)
}, 240_000)
