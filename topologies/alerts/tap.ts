/** An outbox whose table rows are seen on their way. */
import type { Outbox, TableRow } from '../../streams/topology/outbox.ts'

export function tapped(out: Outbox, see: (table: string, row: TableRow) => void): Outbox {
  const row = (table: string, given: TableRow): void => {
    see(table, given)
    out.row(table, given)
  }
  return new Proxy(out, {
    get(_target, name) {
      if (name === 'row') return row
      const found: unknown = Reflect.get(out, name)
      return typeof found === 'function' ? found.bind(out) : found
    },
  })
}
