import { z } from 'zod'
import { duration, durationTakes, flag, flagTakes } from '../../streams/option-types.ts'
import { defineOptions, type OptionValues, option } from '../../streams/options.ts'
import type { LabelTimes } from './pending.ts'

const waiting = () => duration().refine(ms => ms > 0)

export const labelsOptions = defineOptions({
  'labels.startWithin': option(waiting(), 600_000, {
    help: 'An impression waits this long for a play to start; after 10m a play has other reasons than the list',
    takes: durationTakes,
  }),
  'labels.joinWithin': option(waiting(), 1_800_000, {
    help: "A watch without requestId joins the user's newest impression of the item up to this old, else it is organic; one session gap",
    takes: durationTakes,
  }),
  'labels.silence': option(waiting(), 300_000, {
    help: 'A play without a heartbeat for this long has ended; ten heartbeats of 30s may be lost',
    takes: durationTakes,
  }),
  'labels.longest': option(waiting(), 14_400_000, {
    help: 'A label is final this long after the impression at the latest; 4h is longer than any film',
    takes: durationTakes,
  }),
  'labels.slack': option(duration(), 300_000, {
    help: "Deadlines are held this far behind the partition's newest event: a clock may be 5m ahead, and one such client must not end the wait of all others",
    takes: durationTakes,
  }),
  'labels.examples': option(flag(), true, {
    help: 'Write impressions and their outcomes to the table examples',
    takes: flagTakes,
  }),
  'privacy.pseudonymKey': option(z.string().min(16), 'freshet-development-key-not-secret', {
    help: 'Key of the pseudonyms (HMAC-SHA256) that stand for users in ClickHouse. The default is public, for development alone: set your own, and destroy it to make all pseudonyms meaningless',
    takes: 'a text of at least 16 characters',
  }),
  'privacy.pseudonymKeyId': option(z.string().min(1), 'development', {
    help: 'Name of the pseudonym key, written beside every pseudonym so that keys can be changed',
    takes: 'a short name',
  }),
})

/** The waits of L1 and L2 as the options say. */
export function labelTimes(options: OptionValues<typeof labelsOptions>): LabelTimes {
  return {
    startWithinMs: options['labels.startWithin'],
    joinWithinMs: options['labels.joinWithin'],
    silenceMs: options['labels.silence'],
    longestMs: options['labels.longest'],
  }
}
