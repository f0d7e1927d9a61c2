import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { topkOptions } from './options.ts'
import { byCandidates, surfacePolicies } from './surfaces.ts'

const example = join(import.meta.dirname, '../../docs/examples/policies.json')

const resolved = (flags: Record<string, string>, file: Record<string, unknown> = {}) =>
  resolveOptions(topkOptions, { flags, environment: {}, file }).values
const policies = (given: unknown, flags: Record<string, string> = {}) =>
  surfacePolicies(resolved({ 'topk.policies': JSON.stringify(given), ...flags }))

describe('the policy file', () => {
  it('leaves every surface as the options have it, where it says nothing', () => {
    const flags = { 'topk.surfaces': 'home,kids', 'topk.restricted': 'kids', 'topk.size': '20' }
    const [home, kids] = surfacePolicies(resolved(flags))
    expect(home).toEqual({
      name: 'home',
      number: 0,
      rules: {
        size: 20,
        policy: 'plackett-luce',
        temperature: 0.1,
        epsilon: 0.05,
        mmr: 0.3,
        mmrPositions: 10,
        creatorCap: 5,
        topicRun: 4,
        caps: [],
        floors: [],
        fresh: null,
        exploreMost: Number.POSITIVE_INFINITY,
        samples: 32,
        rateWeight: 0.5,
      },
      restricted: false,
      youngerThanMs: 0,
      epsilons: [],
      explorePerList: Number.POSITIVE_INFINITY,
      explorePerDay: Number.POSITIVE_INFINITY,
      candidates: 30,
      history: 'all',
      minIntervalMs: 500,
    })
    expect(kids).toEqual({ ...home, name: 'kids', number: 1, restricted: true })
    expect(policies({}, flags)).toEqual([home, kids])
  })

  it('is read from the example of the documentation', () => {
    const values = resolved({ 'topk.surfaces': 'clips,home,late-night', 'topk.policies': example })
    expect(values['topk.policies'].version).toBe(3)
    expect(values['topk.policies'].context).toEqual(['device', 'hour'])
    const [clips, home, night] = surfacePolicies(values)
    expect(clips).toMatchObject({
      history: 'session',
      minIntervalMs: 200,
      candidates: 20,
      explorePerList: 5,
      rules: { size: 20, policy: 'thompson', creatorCap: 2, topicRun: 2 },
    })
    expect(home).toMatchObject({
      history: 'all',
      youngerThanMs: 7 * 86_400_000,
      epsilons: [0.02, 0.05, 0.1],
      explorePerDay: 20,
      rules: {
        policy: 'epsilon',
        floors: [
          { mark: 1, share: 0.2, after: 5 },
          { mark: 2, share: 0.1, after: 5 },
        ],
        caps: [{ mark: 4, most: 3 }],
        fresh: { atLeast: 2, ofFirst: 10 },
      },
    })
    expect(night).toMatchObject({ restricted: true, rules: { caps: [{ mark: 8, most: 10 }] } })
    expect(byCandidates([clips, home, night])).toEqual([[clips], [home, night]])
  })

  it('may stand in the config file or the option itself, and gives the text that makes it again', () => {
    const given = { surfaces: { home: { size: 7 } } }
    const inline = resolved({}, { 'topk.policies': given })['topk.policies']
    const again = resolved({ 'topk.policies': `${inline}` })['topk.policies']
    expect(again.surfaces).toEqual(inline.surfaces)
    expect(JSON.stringify(resolved({ 'topk.policies': example })['topk.policies'])).toBe(
      JSON.stringify(example),
    )
  })

  it('is refused with every error, its path, what stands there and what it takes', () => {
    const refused = (given: unknown) => {
      try {
        policies(given)
      } catch (error) {
        return String((error as Error).message)
      }
      throw new Error(`${JSON.stringify(given)} was taken`)
    }
    expect(
      refused({
        surfaces: {
          home: { epsilon: 2, sise: 3, fresh: { atLeast: 3, ofFirst: 2, youngerThan: 'soon' } },
        },
      }),
    ).toBe(
      'option topk.policies: surfaces.home.epsilon got 2; it takes a number from 0 to 1; ' +
        'surfaces.home.fresh.youngerThan got "soon"; it takes a duration such as 500ms, 10s, 5m, 1h or 7d; ' +
        'surfaces.home.fresh got {"atLeast":3,"ofFirst":2,"youngerThan":"soon"}; it takes atLeast of at most ofFirst; ' +
        'surfaces.home has "sise", which nothing reads; docs/lists.md has the keys',
    )
    const cases: [unknown, string][] = [
      [
        { surfaces: { home: { size: '50' } } },
        'surfaces.home.size got "50"; it takes a whole number from 1 to 200',
      ],
      [
        { surfaces: { home: { size: 1.5 } } },
        'surfaces.home.size got 1.5; it takes a whole number from 1 to 200',
      ],
      [
        { surfaces: { home: { policy: 'best' } } },
        'surfaces.home.policy got "best"; it takes plackett-luce, epsilon or thompson',
      ],
      [
        { surfaces: { home: { profile: 'tiktok' } } },
        'surfaces.home.profile got "tiktok"; it takes default or short-form',
      ],
      [
        { surfaces: { home: { caps: [{ group: 'ads', most: 0 }] } } },
        'surfaces.home.caps.0.most got 0; it takes a whole number from 1 to 200',
      ],
      [
        { surfaces: { home: { floors: [{ group: 'ads', share: 0.1 }] } } },
        'surfaces.home.floors.0.group got "ads"; it takes a group, of which the file declares none',
      ],
      [
        { groups: { a: {} }, surfaces: { home: { floors: [{ group: 'b', share: 0.1 }] } } },
        'surfaces.home.floors.0.group got "b"; it takes a group of the file: a',
      ],
      [
        {
          groups: { a: {}, b: {} },
          surfaces: {
            home: {
              floors: [
                { group: 'a', share: 0.7 },
                { group: 'b', share: 0.6 },
              ],
            },
          },
        },
        'it takes shares that sum to 1 at most, these to 1.3',
      ],
      [{ surfaces: { Home: {} } }, 'it takes a surface of a-z, 0-9 and -'],
      [{ surfaces: { home: { epsilons: [] } } }, 'surfaces.home.epsilons got []'],
      [
        { groups: { a: { topic: [] } } },
        'groups.a.topic got []; it takes a text, or a list of texts',
      ],
      [
        { groups: Object.fromEntries(Array.from({ length: 25 }, (_, k) => [`g${k}`, {}])) },
        'at most 24 groups',
      ],
      [
        { surfaces: { hom: {} } },
        'surfaces.hom is no surface that lists are made for; topk.surfaces has home',
      ],
      [{ surfaces: [] }, 'surfaces got []; it takes surfaces by name'],
    ]
    for (const [given, says] of cases) expect(refused(given)).toContain(says)
  })

  it('is refused in one sentence where it is no file or no JSON', () => {
    expect(() => resolved({ 'topk.policies': '/nowhere/policies.json' })).toThrow(
      /option topk.policies: \/nowhere\/policies.json can't be read as JSON \(ENOENT/,
    )
    const folder = mkdtempSync(join(tmpdir(), 'policies-'))
    const name = join(folder, 'broken.json')
    try {
      writeFileSync(name, '{"surfaces": {')
      expect(() => resolved({ 'topk.policies': name })).toThrow(/broken.json can't be read as JSON/)
      writeFileSync(name, '[]')
      expect(() => resolved({ 'topk.policies': name })).toThrow(
        `(${name}): the file got []; it takes what docs/lists.md describes`,
      )
      writeFileSync(name, '{"surface": {}}')
      expect(() => resolved({ 'topk.policies': name })).toThrow(
        `option topk.policies (${name}): the file has "surface", which nothing reads`,
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
