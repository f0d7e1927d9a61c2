/** The lines of a log that make no event, as a person is told of them. */
import type { ImportedLog } from '../replay/import/import.ts'
import { count, paint } from './terminal.ts'

const SHOWN = 10

export function badLines({ bad }: Pick<ImportedLog, 'bad'>): string[] {
  if (bad.length === 0) return []
  return [
    paint('yellow', `${count(bad.length)} lines were left out:`),
    ...bad.slice(0, SHOWN).map(({ file, line, reason }) => `  ${file}:${line}: ${reason}`),
    ...(bad.length > SHOWN ? [`  and ${count(bad.length - SHOWN)} more (--json has all)`] : []),
  ]
}
