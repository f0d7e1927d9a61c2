import { expect, it } from 'vitest'
import { listingOf, now, userOf, worldOf } from '../../topologies/explain/fakes.ts'
import type { Asked } from './ask.ts'
import { itemText, userText, verdictText } from './text.ts'

/** The list as it is drawn now, stored, with the first item explored. */
function asked(flags: Readonly<Record<string, string>> = {}): Asked {
  const items = worldOf(5)
  const user = userOf(5)
  const listing = listingOf(items, user, flags)
  const session = { startedAt: now, impressions: 1, watches: 1, positives: 1, completes: 0 }
  return {
    user: { ...user, session },
    items,
    listing,
    stored: {
      version: '1-2-3',
      policy: 'blend-pl@1',
      model: '',
      at: now,
      items: listing.list.map(({ item, score, p }, k) => ({
        id: items.idOf(item),
        score,
        p,
        src: listing.of(item).source,
        x: k === 0,
      })),
    },
    verdicts: { exclusions: new Map(), groups: [] },
    warning: 'drawn otherwise',
    notes: ['a note'],
    now,
  } as unknown as Asked
}

it('what chance put into the list is said to be explored, and nothing else is', () => {
  const found = asked()
  const [first, second] = found.listing.list
  const rows = userText(found)
    .split('\n')
    .filter(line => /^ *\d+ +0/.test(line))
  expect(rows.length).toBe(found.listing.list.length)
  expect(rows[0]).toContain('explored: chance put it here')
  expect(rows.slice(1).join()).not.toContain('explored')
  expect(verdictText(found, first.item, 'never')).toMatch(/\(p = .*\), explored: chance put it/)
  expect(verdictText(found, second.item, 'never')).not.toContain('explored')
})

it('that the list was drawn otherwise is read before its numbers', () => {
  const found = asked()
  const list = userText(found)
  expect(list.indexOf('drawn otherwise')).toBeLessThan(list.indexOf('score now'))
  expect(list).toMatch(/1 impression, 1 watch, 1 positive, 0 finished/)
  const item = itemText(found, found.listing.list[0].item, undefined, 'never')
  expect(item.split('\n')[1]).toBe('drawn otherwise')
})

it('the expected rate stands among what makes a logit where thompson draws, and nowhere else', () => {
  const textOf = (found: Asked) => itemText(found, found.listing.list[0].item, undefined, 'never')
  expect(textOf(asked({ 'topk.policy': 'thompson' }))).toMatch(/^expected rate +[+-]\d/m)
  expect(textOf(asked())).not.toContain('expected rate')
})
