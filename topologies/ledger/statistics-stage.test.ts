/** The statistic side alone: packets in, rows out, against sums made directly, with restarts between journal and rows. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { noMetrics } from '../../streams/metrics.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { Outbox, TableRow } from '../../streams/topology/outbox.ts'
import { Held } from '../../test/support/drift-pipeline.ts'
import { Watermark } from '../drift/watermark.ts'
import { DimsTable } from './dims.ts'
import { emptyLabelled, type Labelled, ledgerChannel, PacketWriter, sentDims } from './packets.ts'
import { createLedgerStatisticsStage } from './statistics-stage.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const t0 = Date.UTC(2026, 0, 5)
const slackMs = 6 * minute

interface Told extends Labelled {
  readonly at: number
  readonly user: number
  readonly policy: string
  readonly model: string
}

function told(seed: number, n: number, users = 30): Told[] {
  const random = randomFrom(hash53(`told ${seed}`))
  const upTo = (most: number): number => Math.floor(random() * most)
  return Array.from({ length: n }, (_, k) => {
    const model = upTo(2) ? 'logits' : 'chances'
    const p = random()
    const item = upTo(50)
    return {
      ...emptyLabelled(),
      at: t0 + upTo(hour),
      user: upTo(users),
      policy: `p${upTo(3)}`,
      model,
      clicked: upTo(3) === 0,
      positive: random() < p,
      watchedMs: upTo(60_000),
      weightedMs: 0,
      graded: upTo(2 ** 30),
      novelty: upTo(2 ** 20),
      score: model === 'logits' ? 4 * Math.log(p / (1 - p)) : p,
      hash: hash53(`${seed} ${k}`),
      item: hash53(`item ${item}`),
      creator: hash53(`creator ${item % 8}`),
    }
  })
}

class Statistics {
  now = 1_000_000
  readonly watermark = new Watermark(10_000, () => 1)
  readonly rows = new Map<string, TableRow>()
  readonly held: Held<never>
  /** Changelog bytes of the largest commit, and rows of the tables with it, at 300 B. */
  mostBytes = 0
  private at = t0

  constructor(journalBytes?: number) {
    this.held = new Held(() =>
      createLedgerStatisticsStage(
        { now: () => this.now, metrics: noMetrics },
        {
          times: {
            labelsMs: 16 * minute,
            endedMs: 36 * minute,
            slackMs,
            settledMs: 5 * hour,
          },
          scores: 'auto',
          watermark: this.watermark,
          journalBytes,
        },
      ),
    )
  }

  tell(list: readonly Told[]): void {
    const writer = new PacketWriter()
    const dims = new DimsTable(sentDims)
    for (const one of list)
      writer.label(
        dims.of({
          policy: one.policy,
          model: one.model,
          surface: 'home',
          cohort: '',
          experiments: {},
        }),
        Math.floor(one.at / minute),
        one.user % 64,
        one,
      )
    const parts: ByteWriter[] = []
    const delta = (_channel: unknown, _partition: number, part = 0): ByteWriter => {
      parts[part] = new ByteWriter()
      return parts[part]
    }
    writer.flush({ delta } as unknown as Outbox, 0)
    for (const part of parts) this.held.stage.receive?.(ledgerChannel, new ByteReader(part.copy()))
  }

  commit(): void {
    do {
      const { rows } = this.held.commit()
      this.mostBytes = Math.max(this.mostBytes, this.held.bytes + 300 * rows.length)
      for (const { table, row } of rows) {
        const key = [
          'window_start',
          'window_end',
          'policy',
          'arm',
          'surface',
          'segment',
          'metric',
          'model',
          'bin',
        ]
        const name = [table, ...key.map(each => row[each])].join('|')
        if (Number(this.rows.get(name)?.revision ?? 0) <= Number(row.revision))
          this.rows.set(name, row)
      }
    } while (this.held.stage.urgent?.())
  }

  /** Event time moves on; processing time with it. */
  passTo(ts: number, stepMs: number): void {
    for (; this.at < ts; this.at += stepMs) {
      this.watermark.hear(0, this.at)
      for (let k = 0; k < 3; k++) {
        this.now += 5_000
        this.watermark.hear(0, this.at)
        this.watermark.advance(this.now, true)
        this.commit()
      }
    }
  }

  end(): void {
    this.passTo(t0 + 3 * hour, hour)
    this.passTo(t0 + 12 * day, 6 * hour)
  }

  /** Without revisions: they tell how often a window was written. */
  get figures(): string[] {
    return [...this.rows]
      .map(([name, { revision: _, ...row }]) => `${name} ${JSON.stringify(row)}`)
      .sort()
  }
}

describe('the ledger on the statistic side', () => {
  it('L1, J3: comes to the same whatever the order, the packets, and the restarts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), seed => {
        const list = told(seed, 300)
        const plain = new Statistics()
        plain.tell(list)
        plain.end()
        const random = randomFrom(hash53(`cuts ${seed}`))
        const broken = new Statistics(2_000)
        const left = [...list].sort((a, b) => a.hash - b.hash)
        while (left.length > 0) {
          broken.tell(left.splice(0, 1 + Math.floor(random() * 40)))
          if (random() < 0.7) broken.commit()
          if (random() < 0.2) {
            broken.commit()
            broken.held.restart()
          }
        }
        broken.passTo(t0 + 2 * hour, hour / 2)
        broken.held.restart()
        broken.end()
        expect(broken.figures).toEqual(plain.figures)
        expect(plain.figures.length).toBeGreaterThan(1000)
      }),
      { numRuns: 4, endOnFailure: true },
    )
  }, 60_000)

  it('J2: writes sums and lets the journal go, and forgets all in the end', () => {
    const statistics = new Statistics(2_000)
    for (let k = 0; k < 40; k++) {
      statistics.tell(told(k, 50))
      statistics.commit()
    }
    const most = statistics.held.rowCount
    statistics.end()
    expect(most).toBeGreaterThan(100)
    statistics.tell(told(99, 1).map(one => ({ ...one, at: t0 + 11 * day })))
    statistics.commit()
    expect(statistics.held.rowCount).toBeLessThan(60)
  })

  it('C1: an old log that comes at once is folded and forgotten in small commits', () => {
    const statistics = new Statistics()
    const list = Array.from({ length: 6 * 12 }, (_, h) =>
      told(h, 1000).map((one, k) => ({
        ...one,
        policy: 'p',
        model: 'm',
        at: t0 + 2 * h * hour,
        item: hash53(`item ${h} ${k}`),
      })),
    ).flat()
    const packets = 2
    const size = Math.ceil(list.length / packets)
    for (let from = 0; from < list.length; from += size) {
      statistics.tell(list.slice(from, from + size))
      expect(statistics.held.stage.full?.()).toBe(true)
      statistics.commit()
      expect(statistics.held.stage.full?.()).toBe(false)
    }
    statistics.mostBytes = 0
    statistics.passTo(t0 + 40 * day, 13 * day)
    expect(statistics.mostBytes).toBeLessThan(1.5 * 2 ** 20)
    expect(statistics.held.rowCount).toBeLessThan(60)
    const days = [...statistics.rows.values()].filter(
      row =>
        row.metric === 'coverage' &&
        row.policy === '' &&
        row.surface === '' &&
        Number(row.window_end) - Number(row.window_start) === day,
    )
    expect(days.map(({ value, n }) => [value, n])).toEqual(Array(6).fill([12_000, 12_000]))
  }, 60_000)

  it('tells nothing of a window before its labels are final, and returns when they are known', () => {
    const statistics = new Statistics()
    statistics.tell(told(1, 100))
    statistics.passTo(t0 + 10 * minute, minute)
    expect(statistics.rows.size).toBe(0)
    statistics.passTo(t0 + 40 * minute, minute)
    const minutes = [...statistics.rows.values()].filter(row => row.metric === 'ctr')
    expect(minutes.length).toBeGreaterThan(0)
    for (const row of minutes)
      expect(Number(row.window_end) + 17 * minute).toBeLessThanOrEqual(t0 + 40 * minute)
  })

  it('has no interval for one user, and nothing that is no number', () => {
    const statistics = new Statistics()
    const list = told(2, 50, 1)
    list[0].badScore = true
    list[0].score = Number.NaN
    statistics.tell(list)
    statistics.end()
    for (const row of statistics.rows.values()) {
      for (const value of Object.values(row))
        if (typeof value === 'number') expect(Number.isFinite(value)).toBe(true)
      if (row.metric === 'ctr') expect([row.low, row.high]).toEqual([null, null])
    }
    const bad = [...statistics.rows.values()].filter(
      row => row.segment === '' && row.bin === 0 && row.unusable === 1,
    )
    expect(bad.length).toBe(3)
  })

  it('counts under ~other what is beyond the combinations that are kept apart', () => {
    const statistics = new Statistics()
    const list = told(3, 1000).map((one, k) => ({ ...one, policy: `p${k % 900}`, at: t0 }))
    statistics.tell(list)
    statistics.end()
    const ctr = [...statistics.rows.values()].filter(
      row => row.metric === 'ctr' && Number(row.window_end) - Number(row.window_start) === day,
    )
    const all = ctr.find(row => row.policy === '' && row.segment === '' && row.surface === '')
    expect(all?.n).toBe(1000)
    expect(ctr.length).toBeLessThanOrEqual(300)
  })
})
