/** What lists are written as (topologies) against what reads them (sinks), which may not know each other. */
import { describe, expect, it } from 'vitest'
import { itemsOfList } from '../sinks/redis/reader/items.ts'
import { readPage } from '../sinks/redis/reader/reader.ts'
import { listBody } from '../topologies/topk/list.ts'
import { candidateSources } from '../topologies/topk/retrieve/candidates.ts'
import { Slate } from '../topologies/topk/rules.ts'

const slate = new Slate(20)
slate.count = 14
for (let k = 0; k < slate.count; k++) {
  slate.picked[k] = k
  slate.score[k] = 3.125 - k
  slate.p[k] = 1 / (k + 2)
  slate.explored[k] = k % 5 === 0 ? 1 : 0
}
const candidates = {
  idOf: (k: number) => `item "${k}"`,
  sourceOf: (k: number) => k % candidateSources.length,
}
const head = {
  ...{ user: 'u1', surface: 'home', cohort: '', at: 1, expires: 2 },
  ...{ policy: 'blend-pl@1', model: '' },
}
const written = (format: 'json' | 'compact'): string =>
  `{"version":"000001-0000000000000001-0000000001",${listBody(head, slate, candidates, format)}`

describe('a list', () => {
  it('reads the same in both formats', () => {
    const [plain, compact] = (['json', 'compact'] as const).map(format =>
      itemsOfList(JSON.parse(written(format)) as object),
    )
    expect(plain).toHaveLength(14)
    expect(compact).toEqual(plain)
    expect(new Set(plain.map(({ src }) => src))).toEqual(new Set(candidateSources))
    expect(plain[0]).toEqual({ id: 'item "0"', score: 3.125, p: 0.5, src: 'popularity', x: true })
  })

  it('is a page for whoever shows it in both formats', async () => {
    const page = (format: 'json' | 'compact') =>
      readPage(
        { get: async key => (key.endsWith(':u:u1') ? written(format) : null) },
        { userId: 'u1' },
      )
    expect((await page('compact')).from).toBe('user')
    expect(await page('compact')).toEqual(await page('json'))
  })
})
