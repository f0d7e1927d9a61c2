import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { FakeItems, fakeUser } from '../topk/fakes.ts'
import type { ShownPage } from '../user/labels-port.ts'
import type { User } from '../user/user.ts'
import { Answers, packAnswers, unpackAnswers } from './answers.ts'
import { answerLook } from './look.ts'

/** Everything of these users was before. */
const LATE = 1_700_000_000_000
const items = new FakeItems({ items: 300, seed: 4, bare: 0.2 })

function userWith(liked: readonly number[], unwatched: readonly number[]): User {
  const user = fakeUser('u', liked)
  return {
    ...user,
    shown: {
      ...user.shown,
      unwatched: (most, from) => (from > LATE ? [] : unwatched.slice(0, most)),
    },
  }
}

const unit = (v: ArrayLike<number>): number[] => {
  const length = Math.hypot(...Array.from(v))
  return Array.from(v, x => x / length)
}
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, k) => sum + x * b[k], 0)

/** As answers.ts says it, pair by pair. */
function affinity(
  item: number,
  liked: readonly number[],
  unwatched: readonly number[],
  vectorOf: (item: number) => number[] | undefined,
): number {
  const own = vectorOf(item)
  if (own === undefined) return 0
  const likeness = (of: readonly number[]): number =>
    of.reduce((sum, other) => sum + dot(own, vectorOf(other) ?? own.map(() => 0)), 0)
  if (![...liked, ...unwatched].some(other => vectorOf(other))) return 0
  const p = Math.max(0, likeness(liked))
  const all = Math.max(p, likeness([...liked, ...unwatched]))
  const { a, b } = items.betaPrior
  const base = a / (a + b)
  const rate = (p + 4 * base) / (all + 4)
  const logit = (x: number): number => Math.log(x / (1 - x))
  return Math.min(7.9375, Math.max(-7.9375, logit(rate) - logit(base)))
}

const contentOf = (item: number) => {
  const content = items.content(item)
  return content && Array.from(content)
}
const vectorOf = (item: number) =>
  items.hasVector(item) ? unit(items.output.subarray(item * 32, item * 32 + 32)) : undefined

describe("a user's answers", () => {
  it('are the smoothed rate of what is like the item, by sums over all pairs', () => {
    const random = randomFrom(6)
    const some = (n: number) => Array.from({ length: n }, () => Math.floor(random() * 300))
    const answers = new Answers(items)
    for (const [nLiked, nPassed] of [
      [0, 0],
      [1, 0],
      [0, 7],
      [5, 20],
      [40, 80],
    ]) {
      const [liked, passed] = [some(nLiked), some(nPassed)]
      answers.begin(userWith(liked, passed))
      for (const item of some(40)) {
        expect(answers.content(item)).toBeCloseTo(affinity(item, liked, passed, contentOf), 4)
        expect(answers.vector(item)).toBeCloseTo(affinity(item, liked, passed, vectorOf), 4)
      }
    }
    answers.begin(null)
    expect(answers.content(3)).toBe(0)
    answers.begin(userWith([3], [3, 3]), LATE + 1)
    expect(answers.content(3)).toBe(0)
  })

  it('speak against what was passed over often, however little of it was liked', () => {
    const answers = new Answers(items)
    const known = Array.from({ length: 300 }, (_, i) => i).find(i => items.content(i))!
    answers.begin(userWith([known], []))
    expect(answers.content(known)).toBeGreaterThan(0.5)
    answers.begin(
      userWith(
        [known],
        Array.from({ length: 60 }, () => known),
      ),
    )
    expect(answers.content(known)).toBeLessThan(-0.5)
  })

  it('fit in one small integer, to a thirty-second of a logit', () => {
    const random = randomFrom(2)
    const into = { content: 0, vector: 0, covisit: 0 }
    for (let k = 0; k < 500; k++) {
      const [a, b, c] = [0, 0, 0].map(() => (random() - 0.5) * 20)
      const packed = packAnswers(a, b, c)
      expect(packed).toBeGreaterThanOrEqual(0)
      expect(packed).toBeLessThan(2 ** 24)
      unpackAnswers(packed, into)
      for (const [found, given] of [
        [into.content, a],
        [into.vector, b],
        [into.covisit, c],
      ])
        expect(Math.abs(found - Math.min(7.9375, Math.max(-7.9375, given)))).toBeLessThanOrEqual(
          1 / 32,
        )
    }
  })

  it('are those of before the page, whatever was answered on it', () => {
    const look = answerLook(items, () => 0)
    const page = (user: User, ...on: number[]): ShownPage => ({
      user,
      requestId: 'r',
      openedAt: 1,
      items: () => new Set(on),
    })
    const before = look(page(userWith([10, 20], [30]), 40), 40, 1)
    expect(look(page(userWith([41, 10, 20], [42, 40, 30]), 40, 41, 42), 40, 1)).toBe(before)
    expect(look(page(userWith([41, 10, 20], [42, 40, 30])), 40, 1)).not.toBe(before)
  })

  it('are summed up once a page and minute, and for a sample of the pages above five hundred a second', () => {
    let asked = 0
    const one: ShownPage = {
      user: userWith([1], [2]),
      requestId: 'r',
      openedAt: 1,
      items: () => {
        asked++
        return new Set()
      },
    }
    const once = answerLook(items, () => 0)
    for (const at of [0, 10_000, 60_000, 70_000]) once(one, 3, at)
    expect(asked).toBe(2)
    const look = answerLook(items, () => 5_000)
    const user = userWith([1], [2])
    const found = Array.from({ length: 20_000 }, (_, k) =>
      look({ user, requestId: `r${k}`, openedAt: k, items: () => new Set() }, 3, 1),
    ).filter(packed => packed >= 0).length
    expect(found).toBeGreaterThan(250)
    expect(found).toBeLessThan(500 * (1 + Math.log(40)) * 1.3)
  })
})
