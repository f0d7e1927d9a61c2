/**
 * The dashboard docs/examples/grafana/freshet.json without a Grafana: every query of panels, variables and annotations on the
 * real engine, with macros and variables filled in as the ClickHouse data source does (its pkg/macros), and the file's own
 * consistency. How it looks is not tested.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import {
  alertRows,
  calibrationRows,
  driftRows,
  evaluationRows,
  experimentRows,
  pipelineRows,
  qualityRows,
} from './support/plausible-rows.ts'
import { madeTables } from './support/tables.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
  readonly targets?: readonly { readonly rawSql: string; readonly format: number }[]
}
interface Variable {
  readonly name: string
  readonly type: string
  readonly query: string
  readonly options: readonly { readonly value: string }[]
}
const dashboard = JSON.parse(
  readFileSync(new URL('../docs/examples/grafana/freshet.json', import.meta.url), 'utf8'),
) as {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
  readonly annotations: { readonly list: readonly { readonly target?: { rawSql: string } }[] }
}
const panels = dashboard.panels.filter(panel => panel.type !== 'row')
const variables = dashboard.templating.list

const now = Date.now()
const from = Math.floor((now - 3 * 86_400_000) / 1000)
const to = Math.floor(now / 1000)

/** What stands for a variable, as the format `sqlstring` or plain gives it. */
const values: Record<string, { readonly text: string; readonly plain: string }> = {
  segment: { text: "''", plain: '' },
  policy: { text: "'','blend-pl@3','blend-pl@4'", plain: '' },
  metric: { text: "'ctr'", plain: 'ctr' },
  experiment: { text: "'rank7','exploration'", plain: '' },
}

function filled(sql: string, window: string): string {
  return sql
    .replace(
      /\$__timeFilter\(([^)]+)\)/g,
      (_, column) => `${column} >= toDateTime(${from}) AND ${column} <= toDateTime(${to})`,
    )
    .replace(
      /\$__timeInterval\(([^)]+)\)/g,
      (_, column) => `toStartOfInterval(toDateTime(${column}), INTERVAL 30 second)`,
    )
    .replaceAll('$__fromTime', `toDateTime(${from})`)
    .replaceAll('$__toTime', `toDateTime(${to})`)
    .replace(/\$\{window\}/g, window)
    .replace(/\$\{(\w+):sqlstring\}/g, (_, name) => values[name].text)
    .replace(/\$\{(\w+)\}/g, (_, name) => values[name].plain)
}

const folder = mkdtempSync(join(tmpdir(), 'freshet-grafana-'))
let store: ClickHouseStore

beforeAll(async () => {
  store = await madeTables(folder)
  for (const [table, rows] of Object.entries({
    drift: driftRows(now),
    alerts: alertRows(now),
    calibration: calibrationRows(now),
    evaluation: evaluationRows(now),
    experiments: experimentRows(now),
    quality: qualityRows(now),
    pipeline: pipelineRows(now),
  }))
    await store.insert(table, rows)
})
afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('the file', () => {
  it('has panels with ids of their own that do not lie on one another, in 24 columns', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    const taken = new Set<string>()
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`), title).toBe(false)
          taken.add(`${x},${y}`)
        }
    }
  })

  it('uses no variable that it does not declare, and declares none in vain', () => {
    const text = JSON.stringify(dashboard)
    const used = new Set([...text.matchAll(/\$\{(\w+)(?::\w+)?\}/g)].map(match => match[1]))
    expect([...used].sort()).toEqual(variables.map(({ name }) => name).sort())
  })
})

describe('the queries', () => {
  const windows = variables.find(({ name }) => name === 'window')?.options ?? []

  it.each(panels.map(panel => [panel.title, panel] as const))('%s', async (_title, panel) => {
    expect(windows).toHaveLength(3)
    const [{ rawSql, format }] = panel.targets ?? []
    const counts: number[] = []
    for (const { value } of windows) {
      const sql = filled(rawSql, value)
      expect(sql).not.toContain('$')
      const rows = await store.query<Record<string, unknown>>(sql)
      counts.push(rows.length)
      if (rows.length === 0 || format !== 0) continue
      // a time series: a time first, in order, then numbers by series; none of them text, as 64-bit integers would be
      const times = rows.map(row => String(row.time))
      expect(Object.keys(rows[0])[0]).toBe('time')
      expect(times).toEqual([...times].sort())
      for (const [name, value] of Object.entries(rows[0]))
        if (name !== 'time' && name !== 'series') expect(typeof value, name).toBe('number')
    }
    expect(Math.max(...counts)).toBeGreaterThan(0)
    // a window's panels show that window alone
    if (rawSql.includes('$' + '{window}')) expect(rawSql).toContain('window_end - window_start')
  })

  it('of the variables', async () => {
    const asked = variables.filter(({ type }) => type === 'query')
    expect(asked.map(({ name }) => name)).toEqual(['segment', 'policy', 'metric', 'experiment'])
    for (const { name, query } of asked)
      expect((await store.query(filled(query, '60'))).length, name).toBeGreaterThan(1)
  })

  it('of the annotations: open alarms and those that ended', async () => {
    const [sql] = dashboard.annotations.list.flatMap(({ target }) => target?.rawSql ?? [])
    const rows = await store.query<{ time: string; timeEnd: string | null; text: string }>(
      filled(sql, '60'),
    )
    expect(rows.map(({ timeEnd }) => timeEnd === null).sort()).toEqual([false, true])
    expect(rows[0].text).toMatch(/^drift_1h: /)
  })
})
