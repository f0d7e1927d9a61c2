/** What sections of the page are made of. */
import { digits, escaped } from './plots.ts'

type Cell = string | number | null

export function section(name: string, ...parts: string[]): string {
  return `<section><h2>${escaped(name)}</h2>\n${parts.filter(part => part !== '').join('\n')}\n</section>`
}

export const say = (sentence: string): string => `<p>${escaped(sentence)}</p>`

export function grid(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return ''
  const cell = (value: Cell): string =>
    typeof value === 'number'
      ? `<td class="number">${digits(value)}</td>`
      : `<td>${escaped(value ?? '')}</td>`
  return `<div class="wide"><table><thead><tr>${head.map(name => `<th>${escaped(name)}</th>`).join('')}</tr></thead><tbody>${rows
    .map(row => `<tr>${row.map(cell).join('')}</tr>`)
    .join('')}</tbody></table></div>`
}

export const share = (part: number, of: number): string =>
  of === 0 ? '' : `${digits((100 * part) / of)}%`
