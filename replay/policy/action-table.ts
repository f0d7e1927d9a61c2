/**
 * A policy as a table of chances: `item,p`, and, where they differ by it, `position`, `surface` or `request`. What is not in it
 * has the chance 0. `q`, where there is such a column, is the mean reward that a model of yours expects of the item there.
 */
import { FreshetError } from '../../streams/errors.ts'
import { columnOf, numberOf, readRecords } from './records.ts'

export interface Chance {
  readonly item: string
  readonly p: number
  /** null: none is given. */
  readonly q: number | null
}

export class ActionTable {
  readonly notes: string[] = []
  private readonly by: {
    readonly position: boolean
    readonly surface: boolean
    readonly request: boolean
  }
  private readonly cells = new Map<string, Map<string, Chance>>()

  constructor(by: { position: boolean; surface: boolean; request: boolean }) {
    this.by = by
  }

  add(position: number, surface: string, request: string, chance: Chance): void {
    const key = this.key(position, surface, request)
    let cell = this.cells.get(key)
    if (cell === undefined) {
      cell = new Map()
      this.cells.set(key, cell)
    }
    if (cell.has(chance.item))
      throw new FreshetError(
        'CALL_INVALID',
        `the table of chances has ${chance.item} twice${key === '' ? '' : ` (${key})`}: what differs between the two is named by no column`,
      )
    cell.set(chance.item, chance)
  }

  /** The chances there; undefined: the table says nothing of it. */
  at(position: number, surface: string, request: string): ReadonlyMap<string, Chance> | undefined {
    return this.cells.get(this.key(position, surface, request))
  }

  /** How many cells do not sum to 1. */
  unevenCells(): number {
    let uneven = 0
    for (const cell of this.cells.values()) {
      let sum = 0
      for (const { p } of cell.values()) sum += p
      if (Math.abs(sum - 1) > 1e-6) uneven++
    }
    return uneven
  }

  get size(): number {
    return this.cells.size
  }

  private key(position: number, surface: string, request: string): string {
    const { by } = this
    const parts: string[] = []
    if (by.position) parts.push(`position ${position}`)
    if (by.surface) parts.push(`surface ${surface}`)
    if (by.request) parts.push(`request ${request}`)
    return parts.join(', ')
  }
}

/** Errors: CALL_INVALID for a file without items or chances, a chance that is none, or an item twice. */
export function readActionTable(file: string): ActionTable {
  const { columns, rows } = readRecords(file)
  const item = columnOf(columns, ['item', 'item_id', 'itemId', 'action'])
  const p = columnOf(columns, ['p', 'probability', 'pi_e'])
  if (item === undefined || p === undefined)
    throw new FreshetError(
      'CALL_INVALID',
      `${file} has the columns ${[...columns].join(', ')}; a table of chances has item and p, and may have position, surface, request and q. A policy file is JSON as docs/lists.md describes`,
    )
  const position = columnOf(columns, ['position'])
  const surface = columnOf(columns, ['surface'])
  const request = columnOf(columns, ['request', 'request_id', 'requestId'])
  const q = columnOf(columns, ['q'])
  const table = new ActionTable({
    position: position !== undefined,
    surface: surface !== undefined,
    request: request !== undefined,
  })
  const text = (row: Readonly<Record<string, unknown>>, column: string | undefined): string =>
    column === undefined ? '' : String(row[column] ?? '')
  rows.forEach((row, i) => {
    const chance = numberOf(row[p])
    if (chance === null || !(chance >= 0 && chance <= 1 + 1e-9))
      throw new FreshetError(
        'CALL_INVALID',
        `${file}, row ${i + 1}: p is ${JSON.stringify(row[p])}; a chance is from 0 to 1`,
      )
    const expected = q === undefined ? null : numberOf(row[q])
    if (Number.isNaN(expected))
      throw new FreshetError(
        'CALL_INVALID',
        `${file}, row ${i + 1}: q is ${JSON.stringify(row[q!])}`,
      )
    table.add(
      position === undefined ? 0 : (numberOf(row[position]) ?? 0),
      text(row, surface),
      text(row, request),
      { item: text(row, item), p: chance, q: expected },
    )
  })
  const uneven = table.unevenCells()
  if (uneven > 0)
    table.notes.push(
      `${uneven} of the ${table.size} cells of the table do not sum to 1: chances of items that are not in it are taken for 0`,
    )
  return table
}
