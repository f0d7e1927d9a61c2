/** Sections of the page that are tables. */
import { grid, say, section, share } from './page-parts.ts'
import { digits, escaped, minute } from './plots.ts'
import type { SetFigures } from './popularity.ts'
import type { CompareReport } from './report.ts'
import type { TableFigures } from './tables.ts'

export function counts({ counts: found }: CompareReport): string {
  const name = 'Popularity'
  if (found === null) return section(name, say('There are no views of both.'))
  const at = (ms: number | null): string => (ms === null ? 'no time' : `${minute(ms)} UTC`)
  return section(
    name,
    say(
      `The replay's sets are true for ${at(found.atReplay)}, the others for ${at(found.atWith)}.`,
    ),
    setsGrid(found.sets.filter(({ set }) => !isOfCohort(set))),
    found.sets.some(({ set }) => isOfCohort(set))
      ? `<details><summary>Sets of cohorts</summary>${setsGrid(found.sets.filter(({ set }) => isOfCohort(set)))}</details>`
      : '',
    found.largest.length === 0
      ? ''
      : `<details><summary>Items that differ most</summary>${grid(
          ['set', 'item', 'replay', 'other'],
          found.largest.map(each => [each.set, each.item, each.replay, each.with]),
        )}</details>`,
  )
}

/** `pop:<window>:<cohort>`. */
const isOfCohort = (set: string): boolean => set.split(':').length > 2

function setsGrid(sets: readonly SetFigures[]): string {
  return grid(
    [
      'set',
      'items',
      'equal',
      'replay alone',
      'other alone',
      'sum, replay',
      'sum, other',
      'agreement',
    ],
    sets.map(each => [
      each.set,
      each.items,
      share(each.equal, each.items),
      each.onlyReplay,
      each.onlyWith,
      each.totalReplay,
      each.totalWith,
      each.agreement,
    ]),
  )
}

export function sessions({ sessions: found }: CompareReport): string {
  const name = 'Session features'
  if (found === null) return section(name, say('There are no views of both.'))
  return section(
    name,
    say(
      `${digits(found.users)} users sampled by hash: ${digits(found.both)} have a session in both, ${digits(found.onlyReplay)} in the replay alone, ${digits(found.onlyWith)} in the other alone. Of ${digits(found.sameMoment)} whose newest event is the same in both, ${share(found.equalOfSameMoment, found.sameMoment) || 'none'} are equal in every field.`,
    ),
    grid(
      ['field', 'equal', 'largest difference'],
      found.fields.map(each => [each.field, share(each.equal, found.both), each.largest]),
    ),
    found.examples.length === 0
      ? ''
      : `<details><summary>Examples</summary>${grid(
          ['user', 'field', 'replay', 'other'],
          found.examples.map(each => [
            each.user.slice(0, 16),
            each.field,
            each.replay ?? 'none',
            each.with ?? 'none',
          ]),
        )}</details>`,
  )
}

export function tables({ tables: found }: CompareReport): string {
  if (found === null) return section('Tables', say('There are no tables.'))
  return section(
    'Tables',
    grid(
      [
        'table',
        'rows, replay',
        'rows, other',
        'common time',
        'outside it',
        'figures in both',
        'equal',
        'replay alone',
        'other alone',
      ],
      found.map(each => [
        each.table,
        each.rowsReplay,
        each.rowsWith,
        each.extent === null ? 'none' : `${minute(each.extent[0])} to ${minute(each.extent[1])}`,
        each.outside,
        each.exact.both + each.soft.both,
        share(each.exact.equal + each.soft.equal, each.exact.both + each.soft.both),
        each.exact.onlyReplay + each.soft.onlyReplay,
        each.exact.onlyWith + each.soft.onlyWith,
      ]),
    ),
    ...found.filter(({ figures }) => figures.length > 0).map(tableDetails),
  )
}

function tableDetails({ table, figures, largest }: TableFigures): string {
  return `<details><summary>${escaped(table)}: by figure</summary>${grid(
    [
      'figure',
      'follows from',
      'in both',
      'equal',
      'replay alone',
      'other alone',
      'mean difference',
      'largest',
    ],
    figures.map(each => [
      each.figure,
      each.soft ? 'models, lists or the machine too' : 'the log alone',
      each.both,
      share(each.equal, each.both),
      each.onlyReplay,
      each.onlyWith,
      each.figure === 'counts' ? null : each.meanDifference,
      each.figure === 'counts' ? null : each.largestDifference,
    ]),
  )}${grid(
    ['figure', 'of', 'window', 'replay', 'other'],
    largest.map(each => [
      each.figure,
      each.key,
      `${minute(each.from)} to ${minute(each.to)}`,
      each.replay ?? 'null',
      each.with ?? 'null',
    ]),
  )}</details>`
}
