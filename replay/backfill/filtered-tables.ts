/** The table store of a backfill: of all that its tasks write, the rows that are asked for. */
import type { TableStore } from '../../streams/sinks.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import type { Backfill } from '../shadow/spec.ts'
import { backfillTableSpecs } from './tables.ts'

/** `inner` stores under the replay's name; `publish` brings the rows to live's place once all are there. */
export function backfillTables<S extends TableStore>(inner: S, backfill: Backfill): S {
  const { tables, fromMs, toMs } = backfill
  const isLeft = (table: string, what: unknown): boolean =>
    what !== undefined &&
    [...backfill.leaves, ...backfillTableSpecs[table].leaves].includes(String(what))
  const isAsked = (table: string, row: TableRow): boolean => {
    const at = Number(row[backfillTableSpecs[table].time])
    if (at < fromMs || at >= toMs) return false
    if (isLeft(table, row.subject) || isLeft(table, row.metric)) return false
    // what the reference is made of was written when it was made
    return table !== 'histograms' || !String(row.edges_id).startsWith('reference:')
  }
  const insert: TableStore['insert'] = async (table, rows) => {
    if (!tables.includes(table)) return
    const asked = rows.filter(row => isAsked(table, row))
    if (asked.length > 0) await inner.insert(table, asked)
  }
  // all else goes to the store itself, whatever it offers beyond the port
  return new Proxy(inner, {
    get(of, name) {
      if (name === 'insert') return insert
      const value: unknown = Reflect.get(of, name)
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
}
