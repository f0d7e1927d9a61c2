import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ItemCluster } from '../../test/support/item-cluster.ts'

const t0 = 1_780_000_000_000
const always = { 'covisit.publishInterval': 0, 'covisit.publishThreshold': 0 }

interface Positive {
  readonly user: string
  readonly item: string
}

/** D and F of a pair: each time the user liked b after a (in full) or before it (.3), by the decay of the later one. */
function naiveDecayed(
  positives: readonly (Positive & { readonly minute: number })[],
  a: string,
  b: string,
  now: number,
): { next: number; recent: number } {
  const histories = new Map<string, { item: string; minute: number }[]>()
  for (const { user, item, minute } of positives) {
    const history = histories.get(user) ?? []
    if (!history.some(one => one.item === item)) histories.set(user, [...history, { item, minute }])
  }
  let next = 0
  let recent = 0
  for (const history of histories.values()) {
    const [i, j] = [a, b].map(item => history.findIndex(one => one.item === item))
    const k = Math.abs(i - j) - 1
    if (i < 0 || j < 0 || k >= 10) continue
    const age = now - Math.max(history[i].minute, history[j].minute)
    const weight = 0.7 ** k * (j > i ? 1 : 0.3)
    next += weight * 2 ** (-age / 360)
    recent += weight * 2 ** (-age / 20_160)
  }
  return { next, recent }
}

function decayedEdges(
  cluster: ItemCluster,
  now: number,
): Map<string, { next: number; recent: number }> {
  const found = new Map<string, { next: number; recent: number }>()
  const { table } = cluster
  for (let i = 0; i < table.size; i++) {
    const row = table.neighbours(i)
    const age = now - (row?.asOf ?? 0) / 60_000
    for (let n = 0; n < (row?.size ?? 0); n++)
      found.set(`${table.idOf(i)}>${table.idOf(row?.items[n] ?? -1)}`, {
        next: (row?.next[n] ?? 0) * 2 ** (-age / 360),
        recent: (row?.recent[n] ?? 0) * 2 ** (-age / 20_160),
      })
  }
  return found
}

it('decays what came after and before, over partitions, minutes, restores and 200 days', () => {
  const minute = 60_000
  const step = fc.record({
    user: fc.nat(4).map(n => `u${n}`),
    item: fc.nat(20).map(n => `i${n}`),
    later: fc.oneof(fc.nat(90), fc.constant(150 * 1_440)),
    restore: fc.option(fc.nat(1), { freq: 12 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), steps => {
      const cluster = new ItemCluster(2, always)
      const positives: (Positive & { readonly minute: number })[] = []
      let at = t0 / minute
      for (const { later, restore, ...positive } of steps) {
        at += later
        positives.push({ ...positive, minute: at })
        const { user: userId, item: itemId } = positive
        cluster.act({ userId, itemId, ts: at * minute, kind: 'watch', positive: true })
        if (restore === null) continue
        cluster.commitAll()
        cluster.restoreItem(restore, true)
      }
      cluster.commitAll()
      for (const [pair, { next, recent }] of decayedEdges(cluster, at)) {
        const [a, b] = pair.split('>')
        const expected = naiveDecayed(positives, a, b, at)
        // whole 4096ths on the log, once more at every restore
        expect(Math.abs(next - expected.next)).toBeLessThan(0.01 + 1e-3 * expected.next)
        expect(Math.abs(recent - expected.recent)).toBeLessThan(0.01 + 1e-3 * expected.recent)
      }
    }),
    { numRuns: 30 },
  )
})
