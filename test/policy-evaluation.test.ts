/**
 * Policy evaluation end to end: lists drawn by the user task, shown and clicked, their rows in the real ClickHouse engine, and
 * another policy's value from them, against drawing that policy's lists from the same candidates over and over.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drawsOf } from '../replay/policy/impressions.ts'
import { logitsBy, type RankedRow } from '../replay/policy/model-logits.ts'
import { reportOf } from '../replay/policy/report.ts'
import { drawsOfSlates } from '../replay/policy/slates.ts'
import { loggedImpressions, loggedSlates } from '../replay/policy/tables.ts'
import { parseTarget } from '../replay/policy/target.ts'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import type { Commit } from '../streams/runtime/core.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import { defaultLambdas } from '../topologies/evaluation/estimators/single.ts'
import type { ModelRunner } from '../topologies/models/runner.ts'
import type { SlateRules } from '../topologies/topk/rules.ts'
import type { SlateRow } from '../topologies/topk/slates-row.ts'
import { factors, liveRows, options, runWorld, truth, users } from './support/policy-world.ts'
import { madeTables } from './support/tables.ts'
import { MINUTE, START } from './support/user-task.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-policy-'))
const extent = { from: START - MINUTE, to: START + 60 * MINUTE, segment: {} }
const click = { metric: 'click', capMs: 1 } as const
let store: ClickHouseStore
let slates: SlateRow[]
let commits: readonly Commit[]

beforeAll(async () => {
  store = await madeTables(folder)
  const made = runWorld()
  slates = made.slates
  commits = made.commits
  await store.insert('examples', made.examples)
  await store.insert('slates', made.slates)
})
afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('policy evaluation from the tables', () => {
  it('joins every sampled list that was shown with its impressions', async () => {
    const found = await loggedSlates(store, 'freshet', extent, click)
    expect(found.lists).toBeGreaterThan(3 * users)
    expect(found.slates).toHaveLength(found.lists)
    expect(found.policies).toEqual(['mix-pl@1'])
  })

  it.each(['temperature=0.7', 'temperature=1.6,mmr=0', 'policy=epsilon,epsilon=.6'])(
    'finds what %s would have earned',
    async given => {
      const target = parseTarget(given, options)
      if (target.kind !== 'rules') throw new Error(target.kind)
      const rules = target.bySurface.get('home') as SlateRules
      const found = await loggedSlates(store, 'freshet', extent, click)
      const log = drawsOfSlates(found.slates, ({ row }) => target.bySurface.get(row.surface))
      expect(log.leftOut).toEqual({})
      const report = reportOf(log, { lambdas: defaultLambdas, replicates: 0, seed: 1 })
      const wanted = truth(slates, rules)
      for (const name of ['rips', 'snips', 'dr']) {
        const figure = report.figures.find(({ estimator }) => estimator === name)
        const { value, low, high } = figure?.value === null ? figure.unreliable! : figure!
        // two thirds of a 95% interval more: some of the twelve would else fail by chance
        const half = (1.7 * (high! - low!)) / 2
        expect(Math.abs(value! - wanted), `${name} ${value}, truly ${wanted}`).toBeLessThan(half)
        expect(half / wanted, `${name} is narrow enough to tell`).toBeLessThan(0.45)
      }
      expect(report.overlap.mean).toBeGreaterThan(0.8)
      expect(report.overlap.mean).toBeLessThan(1.2)
    },
  )

  it('the logged policy itself has weights of 1, to the digits that a list has', async () => {
    const target = parseTarget('temperature=1', options)
    const found = await loggedSlates(store, 'freshet', extent, click)
    const log = drawsOfSlates(found.slates, ({ row }) =>
      target.kind === 'rules' ? target.bySurface.get(row.surface) : undefined,
    )
    for (const { steps } of log.draws)
      for (const { ratio } of steps) expect(ratio).toBeCloseTo(1, 9)
    const { figures } = reportOf(log, { lambdas: defaultLambdas, replicates: 0, seed: 1 })
    const [onPolicy] = figures
    for (const { estimator, value } of figures)
      if (estimator !== 'dr') expect(value, estimator).toBeCloseTo(onPolicy.value!, 9)
  })

  it('leaves out lists that an arm of an experiment changed, unless they are what is asked for', async () => {
    const target = parseTarget('temperature=1', options)
    const rulesOf = ({ row }: { row: { surface: string } }) =>
      target.kind === 'rules' ? target.bySurface.get(row.surface) : undefined
    const { slates: all } = await loggedSlates(store, 'freshet', extent, click)
    const some = all.slice(0, 20)
    const under = some.map((slate, k) => {
      const policy = k % 4 === 0 ? `${slate.row.policy}+rank7.b+x-b2.c` : slate.row.policy
      return { ...slate, row: { ...slate.row, policy } }
    })
    const log = drawsOfSlates(under, rulesOf)
    const shown = under.flatMap(({ impressions }, k) => (k % 4 === 0 ? impressions : []))
    expect(log.leftOut).toEqual({
      'drawn under +rank7.b+x-b2.c of an experiment': shown.length,
    })
    expect(log.draws).toHaveLength(15)
    expect(drawsOfSlates(under, rulesOf, undefined, true).draws).toHaveLength(20)
  })

  it('is the same while lists are served: by the hour and the day, in whatever order lists are judged', async () => {
    const rows = liveRows(commits, 1)
    expect(new Set(rows.map(({ segment }) => segment))).toEqual(new Set(['', 'surface=home']))
    const sorted = (of: TableRow[]) => of.map(row => JSON.stringify(row)).sort()
    expect(sorted(liveRows(commits, 2))).toEqual(sorted(rows))
    expect(sorted(liveRows(commits, 3, 4))).toEqual(sorted(rows))
    const found = await loggedSlates(store, 'freshet', extent, click)
    let compared = 0
    for (const factor of factors) {
      const target = parseTarget(`temperature=${factor}`, options)
      const log = drawsOfSlates(found.slates, ({ row }) =>
        target.kind === 'rules' ? target.bySurface.get(row.surface) : undefined,
      )
      const report = reportOf(log, { lambdas: defaultLambdas, replicates: 0, seed: 1 })
      for (const hours of [1, 24])
        for (const estimator of ['on_policy', 'rips', 'snips', 'ips_step', 'dr']) {
          const live = rows.find(
            row =>
              row.estimator === estimator &&
              row.policy_evaluated ===
                (estimator === 'on_policy' ? 'mix-pl@1' : `temperature*${factor}`) &&
              row.metric === 'click' &&
              row.segment === '' &&
              row.window_start === START - (hours - 1) * 60 * MINUTE &&
              row.window_end === START + 60 * MINUTE,
          )
          const known = report.figures.find(figure => figure.estimator === estimator)!
          expect(live, `${estimator} of ${hours} h`).toMatchObject({ n: report.n })
          if (live!.refused !== '') {
            expect(known.refused.split(' ')[0], estimator).toBe(String(live!.refused).split(' ')[0])
            continue
          }
          // dr has another model, and mean weights are taken of positions 4 and 5 together
          compared++
          const digits = estimator === 'dr' || estimator === 'snips' ? 1 : 9
          const value = known.value ?? known.unreliable?.value
          expect(Number(live!.value), `${estimator} at ${factor}`).toBeCloseTo(value!, digits)
          expect(live!.low).toBeLessThan(value!)
          expect(live!.high).toBeGreaterThan(value!)
        }
    }
    expect(compared).toBeGreaterThanOrEqual(12)
  })

  it('a table of chances needs the impressions alone', async () => {
    const impressions = await loggedImpressions(store, 'freshet', extent, click)
    const file = join(folder, 'chances.csv')
    const items = [...new Set(impressions.map(({ item }) => item))]
    writeFileSync(file, ['item,p', ...items.map(item => `${item},${1 / items.length}`)].join('\n'))
    const target = parseTarget(file, options)
    const { draws } = drawsOf(impressions, target.kind === 'table' ? target.table : null)
    const [{ steps }] = draws
    const first = impressions.find(({ position }) => position === 0)!
    expect(steps[0].ratio).toBeCloseTo(1 / items.length / first.propensity!, 9)
  })

  it('a model needs the features that lists were ranked by, which those of the fixed mix have not', async () => {
    const { slates: found } = await loggedSlates(store, 'freshet', extent, click, true)
    expect(found[0].row).toMatchObject({ ranker_features: [], log_weights: [], feature_hash: '' })
    const target = parseTarget('model:ranker', options)
    if (target.kind !== 'model') throw new Error(target.kind)
    const log = drawsOfSlates(
      found,
      ({ row }) => target.bySurface.get(row.surface),
      row => logitsBy({} as ModelRunner, row as RankedRow, 300),
    )
    expect(log.leftOut).toEqual({ 'ranked without features': found.length })
    const { figures } = reportOf(log, { lambdas: defaultLambdas, replicates: 100, seed: 1 })
    for (const { value, refused } of figures) {
      expect(value).toBeNull()
      expect(refused).not.toBe('')
    }
  })

  it('refuses what it cannot answer', () => {
    const refused = (given: string) => () => parseTarget(given, options)
    expect(refused('policy=thompson')).toThrow(/thompson.*samples/)
    expect(refused('nothing')).toThrow(/no such file.*it takes/)
    expect(refused('temprature=1')).toThrow(/temprature/)
    const file = join(folder, 'groups.json')
    writeFileSync(file, '{"groups": {"news": {"topic": "news"}}, "surfaces": {}}')
    expect(refused(file)).toThrow(/groups/)
  })
})

describe('freshet evaluate policy', () => {
  const call = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'bin/main.ts', 'evaluate', 'policy', ...args], {
      encoding: 'utf8',
    })

  it('tells the known values of a bandit log in a file, and leaves out what has no propensity', () => {
    const file = join(folder, 'log.csv')
    const rows = Array.from({ length: 4000 }, (_, i) => {
      const isA = i % 4 === 0
      return `u${i % 500},${isA ? 'a' : 'b'},1,${isA ? 0.25 : 0.75},${i % 8 < 3 ? 1 : 0},${isA ? 0.5 : 0.5}`
    })
    const bad = ['u1,a,1,0,1,.5', 'u1,a,1,1.2,1,.5', 'u1,a,1,,1,.5', 'u1,a,1,x,1,.5']
    writeFileSync(
      file,
      ['user_id,item_id,position,propensity_score,click,p_target', ...rows, ...bad].join('\n'),
    )
    const { stdout, status, stderr } = call('--log', file, '--json', '--bootstrap', '200')
    expect(stderr.replace(/npm warn.*\n/g, '')).toBe('')
    expect(status).toBe(0)
    const answer = JSON.parse(stdout) as {
      n: number
      estimators: Record<string, { value: number; refused: string }>
      leftOut: Record<string, number>
      overlap: { mean: number }
    }
    expect(answer.n).toBe(4000)
    // of 8 rows: a 1, b 1, b 1, b 0, a 0, b 0, b 0, b 0; weights 2 and 2/3
    expect(answer.estimators.ipw.value).toBeCloseTo((2 + 4 / 3) / 8, 12)
    expect(answer.estimators.snipw.value).toBeCloseTo((2 + 4 / 3) / 8, 12)
    expect(answer.overlap.mean).toBeCloseTo(1, 12)
    expect(answer.leftOut).toEqual({
      'propensity zero or negative': 1,
      'propensity above 1': 1,
      'propensity missing': 1,
      'propensity not a number': 1,
    })
    expect(answer.estimators.dr.refused).toMatch(/table/)
  })

  it('says what is wrong with a call', () => {
    const { status, stderr } = call('--from', '2026-01-02', '--to', '2026-01-01')
    expect(stderr).toMatch(/not before/)
    expect(status).toBe(2)
  })
})
