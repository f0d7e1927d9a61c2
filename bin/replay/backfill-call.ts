/** What a call of `freshet replay backfill` asks for. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { backfillTableSpecs } from '../../replay/backfill/tables.ts'
import type { ReplaySource } from '../../replay/shadow/spec.ts'
import { FreshetError } from '../../streams/errors.ts'
import { profilesOf } from '../../topologies/drift/options.ts'
import { type Call, moment } from '../call.ts'

/** No table of the log: what live drew can't be drawn again. */
const NOT_OF_THE_LOG: Readonly<Record<string, string>> = {
  slates: 'they are lists as the live system drew them, which a replay does not draw again',
}

export interface BackfillAsked {
  readonly tables: readonly string[]
  readonly profiles: readonly string[]
  readonly reference: string | undefined
  readonly from: number
  readonly to: number
  readonly source: ReplaySource
  readonly warmUpMs: number | undefined
  readonly set: Readonly<Record<string, string>>
}

/** Errors: CALL_INVALID with what the flag takes. */
export function parseBackfill({ values, flags }: Call): BackfillAsked {
  const tables = names(flags.table)
  for (const name of tables)
    if (!(name in backfillTableSpecs)) {
      const why = NOT_OF_THE_LOG[name]
      throw new FreshetError(
        'CALL_INVALID',
        `--table got ${JSON.stringify(name)}; ${why ?? `it takes some of ${Object.keys(backfillTableSpecs).join(', ')}, separated by commas`}`,
      )
    }
  const [from, to] = [moment('from', flags.from), moment('to', flags.to)]
  if (from >= to)
    throw new FreshetError('CALL_INVALID', `--from ${flags.from} is not before --to ${flags.to}`)
  const dir = flags.source === undefined || flags.source === 'kafka' ? undefined : flags.source
  const set = Object.fromEntries(
    (flags.set as string[]).map(pair => pair.split(/=(.*)/s).slice(0, 2) as [string, string]),
  )
  const profiles = names(flags.profile ?? values['drift.profiles'])
  const { freshet, tools, river } = profilesOf(profiles.join(','))
  if (Number(freshet) + tools.length + Number(river) < profiles.length || profiles.length === 0)
    throw new FreshetError(
      'CALL_INVALID',
      `--profile got ${JSON.stringify(flags.profile)}; it takes freshet, evidently, nannyml, phoenix, frouros, river, separated by commas`,
    )
  return {
    tables,
    profiles,
    reference: flags.reference === undefined ? undefined : String(flags.reference),
    from,
    to,
    source: dir === undefined ? { kind: 'kafka' } : { kind: 'archive', dir: resolve(String(dir)) },
    warmUpMs: warmUpOf(flags.warmup),
    set,
  }
}

const names = (given: unknown): string[] => [
  ...new Set(
    String(given)
      .split(',')
      .map(name => name.trim())
      .filter(name => name !== ''),
  ),
]

function warmUpOf(given: unknown): number | undefined {
  if (given === undefined) return undefined
  if (given === 'all') return Number.POSITIVE_INFINITY
  const match = /^(\d+)([mhd])$/.exec(String(given))
  if (match) return Number(match[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 'm']
  throw new FreshetError(
    'CALL_INVALID',
    `--warmup got ${JSON.stringify(given)}; it takes minutes, hours or days such as 90m, 24h or 7d, or all`,
  )
}

/** The same call has the same name: it goes on with what an earlier one left. */
export function backfillName(asked: BackfillAsked): string {
  const hash = createHash('sha256').update(JSON.stringify(asked)).digest('hex')
  return `backfill-${hash.slice(0, 12)}`
}
