/** The names of items for reading rows of users: the one thing of an item table that they ask. */

import { Names } from '../../topologies/items/names.ts'
import type { ItemTable } from '../../topologies/items/table.ts'

export type ItemNames = Pick<ItemTable, 'index' | 'indexFrom' | 'idOf' | 'catalog'>

/** Nothing is known of any item but its name. */
export function itemNames(): ItemTable {
  const names = new Names()
  const table: ItemNames = {
    index: itemId => names.index(itemId),
    indexFrom(r, size) {
      const start = r.position
      r.raw(size)
      return names.indexOfBytes(r.buffer, start, start + size)
    },
    idOf: index => names.nameOf(index),
    catalog: () => undefined,
  }
  return table as ItemTable
}
