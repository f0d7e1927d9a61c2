import { describe, expect, it } from 'vitest'
import type { Verdict } from '../../topologies/explain/verdict.ts'
import { readStoredList } from './stored-list.ts'
import { because, obstacle, type Reason } from './words.ts'

const at = Date.UTC(2026, 2, 4, 5, 6, 7)

describe('what holds an item back, in words', () => {
  const cases: [Verdict, RegExp][] = [
    [{ kind: 'unknown' }, /i9 is not in the catalog/],
    [{ kind: 'withdrawn', at }, /withdrawn since 2026-03-04 05:06:07/],
    [{ kind: 'blocked' }, /i9 is blocked/],
    [{ kind: 'expired', at }, /expired on 2026-03-04/],
    [{ kind: 'restricted', surface: 'kids' }, /restricted .* surface kids/],
    [
      { kind: 'excluded', reason: 'finished', at },
      /u1 finished it on 2026-03-04 \(topk.repeat=after:90d\)/,
    ],
    [{ kind: 'excluded', reason: 'hidden', at }, /^u1 hid it on 2026-03-04$/],
    [{ kind: 'fatigue', shown24h: 9 }, /shown 9 times within 24 h/],
    [{ kind: 'not-named' }, /no source named it/],
    [
      { kind: 'capped', by: 'creator', name: 'c3', most: 5, position: 17 },
      /5 items of its creator c3 stand above, the last at position 17/,
    ],
    [
      { kind: 'outranked', logit: 1.5, better: 60, of: 110, last: 1.7, size: 50, chance: 0.031 },
      /60 of 110 candidates are better; its logit is 1\.500, the list ends with 1\.700; .* 3\.10%/,
    ],
    [
      { kind: 'outranked', logit: 1.5, better: 6, of: 110, last: 1.2, size: 50, chance: null },
      /number 7 of 110, but chance/,
    ],
  ]
  it.each(cases)('%o', (verdict, sentence) => {
    expect(obstacle(verdict, 'i9', 'u1', 'after:90d')).toMatch(sentence)
  })

  it('the reasons for it are named, and not those against', () => {
    const reasons: Reason[] = [
      { about: 'fatigue', lift: -2, words: 'shown 9 times' },
      { about: 'covisit', lift: 1, words: 'watched with i4 (co-visits)' },
    ]
    expect(because(reasons)).toBe('mostly because: watched with i4 (co-visits)')
    expect(because(reasons.slice(0, 1))).toMatch(/nothing sets it apart/)
  })
})

describe('a stored list', () => {
  const head = { version: '1-2-3', policy: 'blend-pl@1', model: '', at }
  const items = [
    { id: 'a', score: 1.5, p: 0.5, src: 'covisit', x: false },
    { id: 'b', score: 1.2, p: 0.25, src: 'content', x: true },
  ]
  it.each([
    ['json', { ...head, items }],
    [
      'compact',
      { ...head, ids: ['a', 'b'], scores: [1.5, 1.2], p: [0.5, 0.25], src: 'cn', x: [1] },
    ],
  ])('is read as %s', async (_, found) => {
    const keys: string[] = []
    const json = async (key: string) => {
      keys.push(key)
      return found as Record<string, unknown>
    }
    expect(await readStoredList({ json }, 'home', 'u1')).toEqual({ ...head, items })
    expect(keys).toEqual(['topk:home:u:u1'])
    expect(await readStoredList({ json: async () => null }, 'home', 'u1')).toBeNull()
  })
})
