/** Features as served in the histograms, against a recount of the arrays that were given. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FreshetError } from '../../streams/errors.ts'
import { resolveOptions } from '../../streams/options.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { impression, minute, Pipeline, t0 } from '../../test/support/drift-pipeline.ts'
import { featureCount, featureNames } from '../blend/features.ts'
import type { ImpressionEvent, UserEvent } from '../user/event.ts'
import { driftOptions } from './options.ts'
import { featureSubjects } from './subjects.ts'

interface Given {
  readonly event: UserEvent
  /** null: not known. */
  readonly values: Float32Array | null
}

function impressions(seed: number, count: number): Given[] {
  const random = randomFrom(hash53(`features ${seed}`))
  const value = (): number => {
    const dice = random()
    if (dice < 0.3) return 0
    if (dice < 0.33) return Number.NaN
    if (dice < 0.36) return Number.POSITIVE_INFINITY
    return (random() - 0.5) * 10 ** Math.floor(random() * 7 - 3)
  }
  return Array.from({ length: count }, (_, n) => {
    const user = `u${Math.floor(random() * 9)}`
    const ts = t0 + Math.floor(random() * 90 * minute)
    const surface = random() < 0.5 ? 'home' : 'next'
    const policy = random() < 0.5 ? 'blend' : ''
    const made = impression(user, ts, { surface, policy, score: 1 })
    const event = { ...made, event: { ...made.event, eventId: `${n}` } } as UserEvent
    const values = random() < 0.3 ? null : Float32Array.from({ length: featureCount }, value)
    return { event, values }
  })
}

const servedOf = (given: readonly Given[]) => {
  const byId = new Map(given.map(({ event, values }) => [event.event.eventId, values]))
  return { of: ({ event }: ImpressionEvent) => byId.get(event.eventId) ?? undefined }
}

type Window = Record<string, number>

/** By subject, segment and window: count by lower edge, and `missing`. */
function recount(given: readonly Given[], features: readonly number[]): Map<string, Window> {
  const windows = new Map<string, Window>()
  for (const { event, values } of given) {
    if (values === null || event.kind !== 'impression') continue
    const { surface, policy } = event.event
    const segments = ['', `surface=${surface}`, ...(policy === '' ? [] : [`policy=${policy}`])]
    for (const at of features)
      for (const segment of segments)
        for (const ms of [minute, 60 * minute, 1440 * minute]) {
          const { name, edges } = featureSubjects[at]
          const start = Math.floor(event.ts / ms) * ms
          const key = `${name}|${segment}|${start}|${start + ms}`
          const window = windows.get(key) ?? {}
          windows.set(key, window)
          const below = [...edges].filter(edge => edge <= values[at])
          const bin = Number.isFinite(values[at]) ? `${below.at(-1) ?? 'lowest'}` : 'missing'
          window[bin] = (window[bin] ?? 0) + 1
        }
  }
  return windows
}

function written(pipeline: Pipeline): Map<string, Window> {
  const windows = new Map<string, Window>()
  const names = new Set(featureSubjects.map(({ name }) => name))
  for (const row of pipeline.rows('histograms')) {
    if (!names.has(String(row.subject)) || row.edges_id !== 'signed-decades') continue
    const edges = row.edges as number[]
    const window: Window = {}
    for (const [bin, count] of (row.counts as number[]).entries())
      if (count !== 0) window[bin === 0 ? 'lowest' : `${edges[bin - 1]}`] = count
    if (row.missing !== 0) window.missing = Number(row.missing)
    windows.set([row.subject, row.segment, row.window_start, row.window_end].join('|'), window)
  }
  return windows
}

const optionsOf = (features: string) =>
  resolveOptions(driftOptions, {
    flags: { 'drift.features': features },
    environment: {},
    file: {},
  })

describe('features as served', () => {
  it('are counted as a recount does, those that are named and no others', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom('all', 'item.age', ' pop_1h.share, covisit.peak ,item.age'),
        (seed, asked) => {
          const given = impressions(seed, 60)
          const random = randomFrom(hash53(`commits ${seed}`))
          const pipeline = new Pipeline(2, 2, { 'drift.features': asked }, servedOf(given))
          for (const { event } of given) {
            pipeline.send(event)
            if (random() < 0.2) pipeline.commitAll()
          }
          pipeline.drain(t0 + 3 * 1440 * minute)
          const names = asked.split(',').map(name => name.trim())
          const features = featureNames.flatMap((name, at) =>
            asked === 'all' || names.includes(name) ? [at] : [],
          )
          expect(written(pipeline)).toEqual(recount(given, features))
        },
      ),
      { numRuns: 8 },
    )
  })

  it('are neither asked for nor counted where none are named, which is the default', () => {
    const given = impressions(1, 20)
    const served = {
      of: () => {
        throw new Error('asked for')
      },
    }
    for (const flags of [{}, { 'drift.features': 'none' }] as Record<string, string>[]) {
      const pipeline = new Pipeline(1, 1, flags, served)
      for (const { event } of given) pipeline.send(event)
      pipeline.drain(t0 + 3 * 1440 * minute)
      expect(written(pipeline).size).toBe(0)
      expect(pipeline.rows('histograms').length).toBeGreaterThan(0)
    }
  })

  it('are compared with their reference, and an alert rises where one shifts', () => {
    const values = new Float32Array(featureCount)
    const at = featureNames.indexOf('item.age')
    const random = randomFrom(5)
    let shift = 0
    const served = {
      of: () => {
        values[at] = random() + shift
        return values
      },
    }
    const flags = { 'drift.features': 'item.age', 'drift.reference.windows': '5' }
    const pipeline = new Pipeline(1, 1, flags, served)
    for (let m = 0; m < 20; m++) {
      shift = m < 12 ? 0 : 0.5
      for (let u = 0; u < 300; u++)
        pipeline.send(impression(`u${m * 300 + u}`, t0 + m * minute + u * 100, {}))
      pipeline.now += minute
      pipeline.commitAll()
    }
    const raised = pipeline.alerts.filter(
      each => each.rule === 'drift_1m' && each.subject === 'feature:item.age',
    )
    expect(raised).toMatchObject([{ since: t0 + 12 * minute, until: null }])
  })

  it('that there are not are refused at the start, with the list of those that there are', () => {
    for (const wrong of ['pop_2h.share', 'all,item.age', 'none,item.age', 'item.age,ALL'])
      expect(() => optionsOf(wrong)).toThrow(FreshetError)
    expect(() => optionsOf('pop_2h.share')).toThrow(
      /drift\.features.*pop_2h\.share.*pop_6m\.share.*taste\.trending/s,
    )
    for (const right of ['none', 'all', 'item.age', 'item.age, pop_1h.peak'])
      expect(() => optionsOf(right)).not.toThrow()
  })
})
