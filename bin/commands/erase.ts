/** `freshet erase`: asks for a user's removal everywhere, and looks whether it is done. */
import { randomUUID } from 'node:crypto'
import { connect } from '../../sinks/clickhouse/connect.ts'
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { pseudonym } from '../../topologies/labels/pseudonym.ts'
import { listKey, sessionKey } from '../../topologies/sessions/views.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { openStoredViews, tablesUrl } from '../compose.ts'
import { send } from '../send.ts'
import { durationText, Progress, paint, table } from '../terminal.ts'

const POLL_MS = 500

export function eraseCommand() {
  return command(
    'erase <user>',
    'Removes all that is stored of a user: state, lists, session, rows in ClickHouse. Publishes a freshet.Erasure, and waits until the workers have proved it',
    'freshet erase u42 --reason "asked by letter of 2026-02-03"',
  )
    .option('--reason <text>', 'stands in the record', '')
    .option(
      '--wait <duration>',
      'how long to wait for the proof (workers gather erasures for clickhouse.eraseEvery); 0 does not wait',
      '3m',
    )
    .action(action(erase))
}

/** A row of `v_erasures`. */
interface Proof {
  readonly store: string
  readonly found: number
  readonly removed: number
  readonly foundAfter: number
  readonly done: string | null
}

async function erase(call: Call, user: string): Promise<number> {
  if (user === '') throw new FreshetError('CALL_INVALID', 'erase got no user; it takes a user id')
  const waitMs = waitOf(call)
  const asked = Date.now()
  const { reason } = call.flags
  const record = { eventId: `erase ${randomUUID()}`, userId: user, ts: asked, reason }
  const progress = new Progress('erasures')
  const sendable = { topic: 'erasures', key: user, kind: 'Erasure', record } as const
  await send(call, [sendable], 'kafka', 1, { progress })
  const names = pseudonymsOf(call, user)
  const proofs = waitMs > 0 ? await proved(call, names, asked, waitMs) : undefined
  const views = proofs && isDone(proofs) ? await viewsLeft(call, user) : undefined
  const machine = {
    user,
    asked: new Date(asked).toISOString(),
    pseudonyms: names,
    stores: proofs ?? null,
    viewsLeft: views ?? null,
  }
  answer(call, machine, () => text(user, names, waitMs, proofs, views))
  if (proofs === undefined) return EXIT.done
  const left = (views?.length ?? 0) + proofs.reduce((sum, proof) => sum + proof.foundAfter, 0)
  return isDone(proofs) && left === 0 ? EXIT.done : EXIT.checkFailed
}

function waitOf({ flags }: Call): number {
  const parsed = duration().safeParse(flags.wait)
  if (parsed.success) return parsed.data
  throw new FreshetError(
    'CALL_INVALID',
    `--wait got ${JSON.stringify(flags.wait)}; it takes ${durationTakes}`,
  )
}

/** Under every key that is known, today's first. */
function pseudonymsOf({ values }: Call, user: string): string[] {
  const former = values['privacy.formerKeys'].map(({ key }) => key)
  return [values['privacy.pseudonymKey'], ...former].map(key => pseudonym(user, key))
}

/** What `erasures` says by the end of the wait; undefined where there is no server that could be asked. */
async function proved(
  { values }: Call,
  names: readonly string[],
  asked: number,
  waitMs: number,
): Promise<Proof[] | undefined> {
  const url = tablesUrl(values)
  // the embedded engine belongs to the process that runs
  if (url === undefined || url.startsWith('chdb:')) return undefined
  const connection = await connect(url)
  try {
    const until = systemClock.now() + waitMs
    for (;;) {
      const proofs = await connection
        .query<Record<'store' | 'f' | 'r' | 'a' | 'd', unknown>>(
          `SELECT store, sum(found) AS f, sum(removed) AS r, sum(found_after) AS a,
             if(countIf(done IS NULL) = 0, toString(max(done)), NULL) AS d
           FROM ${values['clickhouse.database']}.v_erasures
           WHERE pseudonym IN (${names.map(sqlText).join(', ')})
             AND asked = fromUnixTimestamp64Milli(toInt64(${asked}), 'UTC')
           GROUP BY store ORDER BY store`,
        )
        .then(rows => rows.map(proofOf))
      if (isDone(proofs) || systemClock.now() >= until) return proofs
      await systemClock.sleep(POLL_MS)
    }
  } finally {
    await connection.close()
  }
}

function proofOf({ store, f, r, a, d }: Record<'store' | 'f' | 'r' | 'a' | 'd', unknown>): Proof {
  return {
    store: String(store),
    found: Number(f),
    removed: Number(r),
    foundAfter: Number(a),
    done: d === null ? null : String(d),
  }
}

const stores = ['changelog', 'examples', 'redis', 'slates']

function isDone(proofs: readonly Proof[]): boolean {
  return stores.every(store => proofs.some(proof => proof.store === store && proof.done !== null))
}

/** Keys of the user's that a reader still finds. */
async function viewsLeft(call: Call, user: string): Promise<string[]> {
  if (call.values['redis.url'] === 'none') return []
  const views = openStoredViews(call)
  try {
    const lists = call.values['topk.surfaces'].map(surface => listKey(surface, user))
    const found: string[] = []
    if ((await views.hash(sessionKey(user))) !== null) found.push(sessionKey(user))
    for (const key of lists) if ((await views.json(key)) !== null) found.push(key)
    return found
  } finally {
    await views.close()
  }
}

function text(
  user: string,
  names: readonly string[],
  waitMs: number,
  proofs: readonly Proof[] | undefined,
  views: readonly string[] | undefined,
): string {
  const asked = `the removal of ${paint('bold', user)} is asked for; the table erasures shows it under ${names.join(', ')}`
  if (proofs === undefined) return `${asked}. A running \`freshet run\` carries it out`
  const rows = proofs.map(proof => [
    proof.store,
    proof.found,
    proof.removed,
    proof.foundAfter,
    proof.done ?? 'not yet',
  ])
  const shown = table([['store', 'found', 'removed', 'found after', 'done'], ...rows])
  const end = isDone(proofs)
    ? views?.length === 0
      ? 'nothing is left'
      : `Redis still has ${views?.join(', ')}: has an event of the user come since?`
    : `not done within ${durationText(waitMs)}: does \`freshet run\` run, and is ClickHouse up? It goes on by itself; look at v_erasures`
  return `${asked}\n${proofs.length > 0 ? `${shown}\n` : ''}${end}`
}
