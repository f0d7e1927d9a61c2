import { type Format, formats, parseMap } from '../../replay/import/formats.ts'
import { importLog } from '../../replay/import/import.ts'
import { FreshetError } from '../../streams/errors.ts'
import { badLines } from '../bad-lines.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { send } from '../send.ts'
import { count, Progress } from '../terminal.ts'

export function importCommand() {
  return command(
    'import <file>',
    'A public log as events, in order of event time',
    'freshet import ratings.dat --format movietweetings',
  )
    .requiredOption('--format <name>', formats.join(', '))
    .option('--map <field=column,...>', 'event fields to columns, for csv and jsonl')
    .option('--positive <expression>', "which rows are positive, e.g. 'rating >= 8'")
    .option('--delimiter <text>', 'between the cells of a csv')
    .option('--shift <ms>', 'added to every time')
    .option('--to <target>', 'kafka, or a file of JSON lines', 'kafka')
    .action(action(importFile))
}

async function importFile(call: Call, file: string): Promise<number> {
  const { flags } = call
  const format = flags.format as Format
  if (!formats.includes(format))
    throw new FreshetError(
      'CALL_INVALID',
      `--format got ${JSON.stringify(format)}; it takes ${formats.join(', ')}`,
    )
  const log = importLog(file, {
    format,
    map: typeof flags.map === 'string' ? parseMap(flags.map) : undefined,
    positive: flags.positive as string | undefined,
    delimiter: flags.delimiter as string | undefined,
    shiftMs: flags.shift === undefined ? undefined : Number(flags.shift),
  })
  const sent = await send(call, log.records(), String(flags.to), log.events + log.items, {
    progress: new Progress('import'),
  })
  const iso = (ms: number): string => new Date(ms).toISOString()
  answer(
    call,
    {
      sent,
      events: log.events,
      items: log.items,
      bad: log.bad,
      times: log.times,
      positive: log.positive,
      from: iso(log.from),
      to: iso(log.to),
    },
    () =>
      [
        `${count(log.events)} events and ${count(log.items)} items from ${file}, ${iso(log.from)} to ${iso(log.to)}`,
        `times read as ${log.times}; positive: ${log.positive}`,
        ...badLines(log),
      ].join('\n'),
  )
  return log.bad.length > 0 ? EXIT.checkFailed : EXIT.done
}
