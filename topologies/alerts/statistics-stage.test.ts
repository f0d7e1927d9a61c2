import { describe, expect, it } from 'vitest'
import type { Logger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Alert, Outbox, TableRow } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { driftOptions } from '../drift/options.ts'
import { createStatisticsKind } from '../drift/topology.ts'
import { ruleFile, rulesInForce } from './rule-file.ts'

const { values } = resolveOptions(driftOptions, { flags: {}, environment: {}, file: {} })
const hour = 3_600_000
const rule = {
  name: 'low_ctr',
  table: 'quality',
  where: { metric: 'ctr' },
  column: 'value',
  window: '1h',
  below: 0.1,
  raise: 2,
  clear: 1,
}

/** The real task kind, behind its drift stage one that writes what it is given; restarts restore from what was committed. */
class StatisticTask {
  readonly alerts: Alert[] = []
  readonly rows: TableRow[] = []
  readonly lines: string[] = []
  private readonly changelog = new Map<string, { store: number; key: Buffer; value: Buffer }>()
  private waiting: TableRow[] = []
  private stages: readonly Stage<never>[]
  private readonly rules

  constructor(...rules: object[]) {
    this.rules = rulesInForce([], ruleFile.parse({ rules }))
    this.stages = this.make()
  }

  private make(rules = this.rules): readonly Stage<never>[] {
    const line = (_fields: unknown, message: string) => void this.lines.push(message)
    const log: Logger = { info: line, warn: line, error: line }
    const writer: Stage<never> = {
      name: 'writer',
      flush: out => {
        for (const row of this.waiting.splice(0)) out.row('quality', row)
      },
    }
    const kind = createStatisticsKind(values, [() => writer], { rules, database: 'freshet' })
    const partitionsOf = () => 1
    const ctx = { kind: 'statistics', partition: 0, partitionsOf, now: () => 0 }
    return kind.create({ ...ctx, metrics: noMetrics, log } as unknown as TaskContext).stages
  }

  /** One commit with a row of quality for each value. */
  commit(h: number, value: number): void {
    const window = { window_start: h * hour, window_end: (h + 1) * hour }
    const of = { metric: 'ctr', segment: '', policy: 'p', arm: '', surface: '' }
    this.waiting.push({ ...window, ...of, value, low: null, high: null, n: 10, revision: 1 })
    const out = {
      row: (table: string, row: TableRow) => void (table === 'alerts' && this.rows.push(row)),
      alert: (alert: Alert) => void this.alerts.push(alert),
    } as unknown as Outbox
    for (const stage of this.stages) stage.flush?.(out)
    const w = new ByteWriter()
    for (const store of this.stages.flatMap(stage => stage.stores ?? []) as unknown as Store<Row>[])
      for (const row of store.take(1e9)) {
        store.spec.writeKey(row, w.reset())
        const key = w.copy()
        const name = `${store.spec.id} ${key.toString('hex')}`
        if (row.removed) this.changelog.delete(name)
        else {
          store.spec.writeValue(row, w.reset())
          this.changelog.set(name, { store: store.spec.id, key, value: w.copy() })
        }
      }
  }

  restart(...rules: object[]): void {
    this.stages = this.make(
      rules.length > 0 ? rulesInForce([], ruleFile.parse({ rules })) : undefined,
    )
    for (const { store, key, value } of this.changelog.values())
      (this.stages.flatMap(stage => stage.stores ?? []) as unknown as Store<Row>[])
        .find(({ spec }) => spec.id === store)
        ?.spec.restore(new ByteReader(key), new ByteReader(value))
    for (const stage of this.stages) stage.restored?.([])
  }

  get seriesRows(): number {
    return [...this.changelog.values()].filter(({ store }) => store === 65).length
  }
}

describe('the alerts stage', () => {
  it('tells of the rows of the same commit: to the topic, the table and the log, raised and over', () => {
    const task = new StatisticTask(rule)
    for (const [h, value] of [0.2, 0.05, 0.05, 0.2].entries()) task.commit(h, value)
    expect(task.alerts).toMatchObject([
      { rule: 'low_ctr', subject: 'ctr policy=p', since: hour, until: null, value: 0.05 },
      { rule: 'low_ctr', subject: 'ctr policy=p', since: hour, until: 4 * hour, value: 0.2 },
    ])
    expect(task.alerts[0].query).toContain("FROM freshet.v_quality WHERE metric = 'ctr'")
    // the same natural key: the second row replaces the first
    expect(task.rows).toMatchObject([
      {
        rule: 'low_ctr',
        subject: 'ctr policy=p',
        segment: '',
        since: hour,
        until: null,
        revision: 1,
      },
      {
        rule: 'low_ctr',
        subject: 'ctr policy=p',
        segment: '',
        since: hour,
        until: 4 * hour,
        revision: 2,
      },
    ])
    expect(task.lines).toEqual(task.alerts.map(({ message }) => message))
  })

  it('keeps its state over restarts at every commit', () => {
    const task = new StatisticTask(rule)
    for (const [h, value] of [0.2, 0.05, 0.05, 0.05, 0.2].entries()) {
      task.commit(h, value)
      task.restart()
    }
    expect(task.alerts.map(({ since, until }) => [since, until])).toEqual([
      [hour, null],
      [hour, 5 * hour],
    ])
  })

  it('takes back what a rule raised that is there no more, and forgets its series', () => {
    const task = new StatisticTask(rule)
    for (const h of [0, 1]) task.commit(h, 0.05)
    expect(task.alerts).toHaveLength(1)
    task.restart({ ...rule, name: 'other' })
    task.commit(2, 0.05)
    expect(task.alerts[1]).toMatchObject({ rule: 'low_ctr', since: 0, until: 2 * hour })
    expect(task.alerts[1].message).toContain('its rule is gone')
    expect(task.seriesRows).toBe(1)
  })
})
