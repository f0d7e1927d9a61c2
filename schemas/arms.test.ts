import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { runPython } from '../test/support/python.ts'
import { assign, type Dealt } from './arms.ts'

const half: Dealt = {
  experiment: 'rank7',
  salt: 's',
  arms: [
    { name: 'a', share: 0.5 },
    { name: 'b', share: 0.5 },
  ],
}

/** Upper .9999 quantiles of chi-square: a test that is rerun for ever must not fail by chance. */
const upper = { 4: 23.51, 24: 58.61 } as const

function chi2(counts: readonly number[], expected: readonly number[]): number {
  return counts.reduce((sum, count, k) => sum + (count - expected[k]) ** 2 / expected[k], 0)
}

/** Users by the arm that each of two experiments of four arms deals them to; none is the fifth. */
function crossed(n: number, one: Dealt, other: Dealt): number[] {
  const cells = new Array<number>(25).fill(0)
  for (let u = 0; u < n; u++)
    cells[5 * Number(assign(one, `u${u}`) ?? 4) + Number(assign(other, `u${u}`) ?? 4)]++
  return cells
}

describe('assigning arms', () => {
  it('deals a million users by the shares, and of one experiment independently of another', {
    timeout: 120_000,
  }, () => {
    const n = 1_000_000
    const shares = [0.05, 0.25, 0.1, 0.5, 0.1]
    const arms = shares.slice(0, 4).map((share, k) => ({ name: `${k}`, share }))
    // ids that run on, as many have
    const cells = crossed(n, { ...half, arms }, { ...half, experiment: 'rank8', arms })
    for (const margin of [0, 1]) {
      const counts = shares.map((_, k) =>
        shares.reduce((sum, _, l) => sum + (margin ? cells[5 * l + k] : cells[5 * k + l]), 0),
      )
      expect(
        chi2(
          counts,
          shares.map(share => share * n),
        ),
      ).toBeLessThan(upper[4])
    }
    const expected = shares.flatMap(a => shares.map(b => a * b * n))
    expect(chi2(cells, expected)).toBeLessThan(upper[24])
  })

  it('deals anew with another salt', { timeout: 60_000 }, () => {
    const arms = Array.from({ length: 4 }, (_, k) => ({ name: `${k}`, share: 0.2 }))
    const cells = crossed(100_000, { ...half, arms }, { ...half, salt: 't', arms })
    expect(
      chi2(
        cells,
        cells.map(() => 4_000),
      ),
    ).toBeLessThan(upper[24])
  })

  it('a user in an arm stays there when an arm behind it grows', () => {
    const grown = { ...half, arms: [half.arms[0], { name: 'b', share: 0.1 }] }
    for (let u = 0; u < 1_000; u++) {
      const before = assign(grown, `u${u}`)
      if (before !== null) expect(assign(half, `u${u}`)).toBe(before)
    }
  })

  it('gives nobody an arm without arms, and everybody one where a share is 1', () => {
    expect(assign({ ...half, arms: [] }, 'u1')).toBeNull()
    expect(assign({ ...half, arms: [{ name: 'a', share: 0 }] }, 'u1')).toBeNull()
    for (let u = 0; u < 100; u++)
      expect(assign({ ...half, arms: [{ name: 'a', share: 1 }] }, `${u}`)).toBe('a')
  })

  it('is what the snippet of docs/experiments.md gives in Python', () => {
    const docs = readFileSync(new URL('../docs/experiments.md', import.meta.url), 'utf8')
    const snippet = /```python\n([\s\S]*?)```/.exec(docs)?.[1] ?? ''
    expect(snippet).toContain('def assign')
    const ids = Array.from(
      { length: 2_000 },
      (_, k) => `${['u', 'anon:é', '用户', '🙂'][k % 4]}${k}`,
    )
    const experiments = [
      half,
      {
        ...half,
        experiment: 'other',
        salt: 'sälz',
        arms: half.arms.map(a => ({ ...a, share: 0.3 })),
      },
      {
        ...half,
        experiment: 'ten',
        salt: '',
        arms: Array.from({ length: 10 }, (_, k) => ({ name: `${k}`, share: 0.1 })),
      },
    ]
    const wanted = runPython(
      `${snippet}
import json, sys
given = json.load(sys.stdin)
print(json.dumps([[assign(e, u) for u in given["ids"]] for e in given["experiments"]]))`,
      { ids, experiments },
    )
    expect(experiments.map(experiment => ids.map(id => assign(experiment, id)))).toEqual(wanted)
  })
})
