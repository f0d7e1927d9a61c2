/** The films beside a ratings file as Items: movies.dat (`id::title::genres`), movies.csv, or MovieLens 100K's u.item. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { ItemDraft } from '../../schemas/index.ts'
import { csvCells, cutRecords } from './lines.ts'

export interface CatalogFile {
  readonly items: ItemDraft[]
  readonly bad: { readonly file: string; readonly line: number; readonly reason: string }[]
}

/** u.item's nineteen genre columns, in the order of its README. */
const genresOfUItem =
  "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western".split(
    '|',
  )

type Film = readonly [id: string, title: string, genres: readonly string[]]

const readers: Readonly<Record<string, (record: string) => Film | undefined>> = {
  'movies.dat': record => {
    const cells = record.split('::')
    return cells.length === 3 ? [cells[0], cells[1], genres(cells[2])] : undefined
  },
  'movies.csv': record => {
    const cells = csvCells(record, ',')
    return cells.length === 3 ? [cells[0], cells[1], genres(cells[2])] : undefined
  },
  'u.item': record => {
    const cells = record.split('|')
    const flags = cells.slice(5)
    if (flags.length !== genresOfUItem.length) return undefined
    return [cells[0], cells[1], genresOfUItem.filter((_, i) => flags[i] === '1')]
  },
}

/** Nothing where no such file stands beside the ratings. */
export function readCatalog(ratingsFile: string): CatalogFile {
  const file = Object.keys(readers)
    .map(name => join(dirname(ratingsFile), name))
    .find(path => existsSync(path))
  const catalog: CatalogFile = { items: [], bad: [] }
  if (!file) return catalog
  const name = basename(file)
  const bytes = readFileSync(file)
  const { starts, ends, lines } = cutRecords(bytes, name.endsWith('.csv'))
  const utf8 = Buffer.from(bytes.toString('utf8')).equals(bytes)
  for (let i = name.endsWith('.csv') ? 1 : 0; i < starts.length; i++) {
    const film = readers[name](bytes.toString(utf8 ? 'utf8' : 'latin1', starts[i], ends[i]))
    if (film && film[0] !== '') catalog.items.push(itemOf(film))
    else catalog.bad.push({ file: name, line: lines[i], reason: 'not id, title and genres' })
  }
  return catalog
}

/** The year stands in the title's brackets; times before 1970 are not taken by the schema and become 1970. */
function itemOf([itemId, title, topics]: Film): ItemDraft {
  const year = /\((\d{4})\)\s*$/.exec(title)?.[1]
  return {
    itemId,
    title,
    topics,
    publishedAt: year === undefined ? 0 : Math.max(0, Date.UTC(Number(year), 0, 1)),
    durationMs: 100_000,
    safety: 'ok',
    ...(year === undefined ? {} : { attributes: { year } }),
  }
}

const genres = (text: string): string[] =>
  text.split('|').filter(genre => genre !== '' && genre !== '(no genres listed)')
