import { z } from 'zod'
import { duration, durationTakes, flag, flagTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'
import { defaultFactors, factorsTakes, isCreatorWeights } from '../user/creator-weights.ts'

const positiveMs = () => duration().refine(ms => ms > 0)

export const sessionsOptions = defineOptions({
  'session.gap': option(positiveMs(), 1_800_000, {
    help: 'Events up to and including this far apart stand in one session. 30m is what web analytics has settled on',
    takes: durationTakes,
  }),
  'user.unpacked': option(z.coerce.number().int().min(0), 32_768, {
    help: 'Users that a process keeps ready for events, those touched last, over all of its tasks: 2 to 6 KB each, 300 B the others; who comes back costs 20 us. Should be above the users active within a minute',
    takes: 'a whole number from 0',
  }),
  'session.redis.minInterval': option(duration(), 200, {
    help: "A user's session hash is written at most this often; 200ms keeps features fresh and Redis at a fifth of the load of every event",
    takes: durationTakes,
  }),
  'session.views': option(flag(), true, {
    help: 'Write session hashes to Redis (or the embedded store)',
    takes: flagTakes,
  }),
  'session.features': option(flag(), true, {
    help: 'Publish session-features for those who would rather subscribe than read Redis',
    takes: flagTakes,
  }),
  'late.grace': option(positiveMs(), 86_400_000, {
    help: 'Events this far behind the newest of their partition still change the right session; later ones are only counted. A day covers phones that were offline over night',
    takes: durationTakes,
  }),
  'late.deadLetters': option(flag(), false, {
    help: 'Send events later than the grace to the dead letters (code LATE); off, because a backfill of old logs would send all of them',
    takes: flagTakes,
  }),
  'feedback.creators': option(z.string().refine(isCreatorWeights), defaultFactors, {
    help: "What each kind of feedback on an item makes of its creator's weight in the user's lists: a factor, together within .01 and 4. A follow doubles the odds of the creator's items, five dislikes leave a thirtieth; a like is cheap and says little",
    takes: factorsTakes,
  }),
  'topk.repeat': option(
    z.union([
      z.literal('never'),
      z.literal('always'),
      z.string().regex(/^after:\d+(\.\d+)?(ms|s|m|h|d)$/),
    ]),
    'never',
    {
      help: 'May an item that the user finished be listed again: never, after:<duration>, always. Films and clips are seldom wanted twice',
      takes: 'never, always or after:<duration>, e.g. after:90d',
    },
  ),
})

/** `topk.repeat` in ms: Infinity for never, 0 for always. */
export function repeatAfterMs(repeat: string): number {
  if (repeat === 'never') return Number.POSITIVE_INFINITY
  if (repeat === 'always') return 0
  return duration().parse(repeat.slice('after:'.length))
}
