/** `freshet explain USER [ITEM]`: why a user has this list, and why an item stands in it or does not. */
import { FreshetError } from '../../streams/errors.ts'
import { covisitParts } from '../../topologies/explain/covisits.ts'
import {
  describeItem,
  describeListing,
  describeScored,
  describeUser,
} from '../../topologies/explain/describe.ts'
import { reachOf } from '../../topologies/explain/reach.ts'
import { verdictOf } from '../../topologies/explain/verdict.ts'
import { action, answer, type Call, command, EXIT, notDone } from '../call.ts'
import { openStoredViews } from '../compose.ts'
import { type Asked, drawAgain } from '../explain/ask.ts'
import { readStoredList } from '../explain/stored-list.ts'
import { itemText, userText, verdictText } from '../explain/text.ts'
import { because, nobody, reasonsOf, unknownItem } from '../explain/words.ts'
import { openState } from '../state.ts'

export function explainCommand() {
  return command(
    'explain <user> [item]',
    "Why a user has this list; with an item, why it stands there or does not. Draws the list again from the state in the log, without a worker and without writing anything. It says what would be drawn now: past draws stand exactly in ClickHouse's table slates (slates.share)",
    'freshet explain u42 i7 --surface home',
  )
    .option('--surface <name>', 'which surface (default: the first of topk.surfaces)')
    .action(action(explain))
}

async function explain(call: Call, userId: string, itemId?: string): Promise<number> {
  const { values } = call
  const surfaces = values['topk.surfaces']
  const surface = String(call.flags.surface ?? surfaces[0])
  if (!surfaces.includes(surface))
    throw new FreshetError(
      'CALL_INVALID',
      `--surface got ${JSON.stringify(surface)}; topk.surfaces has ${surfaces.join(', ')}`,
    )
  const state = await openState(call)
  const views = values['redis.url'] === 'none' ? undefined : openStoredViews(call)
  try {
    const found = await state.user(userId)
    const user = found.end()
    if (user === undefined) return notDone(nobody(userId, found.withdrawnAt))
    const stored = views && (await readStoredList(views, surface, userId))
    const asked = await drawAgain(call, state, user, surface, stored)
    if (itemId === undefined) {
      answer(
        call,
        () => userAnswer(asked),
        () => userText(asked),
      )
      return EXIT.done
    }
    const { items } = asked
    const known = items.size
    const item = items.index(itemId)
    if (item >= known) return notDone(unknownItem(itemId))
    const isNamed = asked.listing.isCandidate(item)
    const repeat = values['topk.repeat']
    answer(
      call,
      () => itemAnswer(asked, item, repeat),
      () => itemText(asked, item, isNamed ? undefined : reachOf(asked.listing, item), repeat),
    )
    return EXIT.done
  } finally {
    await views?.close()
    await state.close()
  }
}

function userAnswer(asked: Asked) {
  const { user, items, listing, stored, warning, notes } = asked
  return {
    user: describeUser(user, items),
    stored: stored && {
      ...stored,
      items: stored.items.map(each => {
        const scored = listing.of(items.index(each.id))
        return {
          ...each,
          now: scored.logit ?? null,
          reasons: reasonsOf(listing, scored),
        }
      }),
    },
    listing: describeListing(listing),
    notes: warning === undefined ? notes : [warning, ...notes],
  }
}

function itemAnswer(asked: Asked, item: number, repeat: string) {
  const { listing, items, stored } = asked
  const { ask } = listing.evidence
  const scored = listing.of(item)
  const id = items.idOf(item)
  const reasons = reasonsOf(listing, scored)
  const position = stored?.items.findIndex(each => each.id === id) ?? -1
  return {
    ...userAnswer(asked),
    item: {
      sentence: verdictText(asked, item, repeat),
      verdict: verdictOf(listing, item, asked.verdicts),
      stored:
        stored && position >= 0 ? { position: position + 1, ...stored.items[position] } : null,
      because: because(reasons),
      reasons,
      ...describeItem(items, item, asked.now, ask.countedUntil),
      ...describeScored(listing, scored),
      first: listing.chancesAt(0)?.get(item) ?? null,
      covisits: covisitParts(ask, item).map(part => ({ ...part, from: items.idOf(part.from) })),
      reach: reachOf(listing, item),
    },
  }
}
