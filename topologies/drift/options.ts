/** Options of drift detection. */
import { z } from 'zod'
import { duration, durationTakes } from '../../streams/option-types.ts'
import { defineOptions, option } from '../../streams/options.ts'
import { featureNames } from '../blend/features.ts'
import { type ProfileName, profileNames } from './profiles/index.ts'
import { areDimensions, dimensions } from './segments.ts'

const allProfiles = ['freshet', ...profileNames, 'river'] as const

const namesIn = (text: string): string[] =>
  text
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')

function areProfiles(text: string): boolean {
  return namesIn(text).every(name => (allProfiles as readonly string[]).includes(name))
}

/** Whether `freshet`'s own figures are wanted, the tools that compare samples, and whether `river`'s detectors look on. */
export function profilesOf(text: string): {
  freshet: boolean
  tools: ProfileName[]
  river: boolean
} {
  const names = new Set(namesIn(text))
  return {
    freshet: names.has('freshet'),
    tools: profileNames.filter(name => names.has(name)),
    river: names.has('river'),
  }
}

/** Places in the feature registry, in its order. */
export function featuresOf(text: string): number[] {
  const names = namesIn(text)
  return featureNames.flatMap((name, at) =>
    names.includes('all') || names.includes(name) ? [at] : [],
  )
}

function areFeatures(text: string): boolean {
  const names = namesIn(text)
  if (names.length === 1 && ['none', 'all'].includes(names[0])) return true
  return names.every(name => featureNames.includes(name))
}

const count = z.coerce.number().int().min(1).max(1_000_000)
const countTakes = 'a whole number from 1 to 1000000'

export const driftOptions = defineOptions({
  'statistics.partitions': option(z.coerce.number().int().min(1).max(256), 1, {
    help: 'Tasks that merge histograms and compute statistics, subjects spread over them. 1: what comes in is already summed by the user tasks, a few hundred cells a second',
    takes: 'a whole number from 1 to 256',
  }),
  'drift.context': option(z.string(), 'device,network', {
    help: "Keys of the events' context that are watched as categories, separated by commas. Named rather than found: a key with a value for every request would fill the state",
    takes: 'names separated by commas, or nothing',
  }),
  'drift.features': option(z.string().refine(areFeatures), 'none', {
    help: 'Features that lists were ranked by which are watched as numbers, of impressions whose list is remembered (examples.servedBytes). none: all of them are more subjects than all others together, and a subject more makes the share of drift.alpha that each has smaller',
    takes: `none, all, or names separated by commas: ${featureNames.join(', ')}`,
  }),
  'drift.profiles': option(z.string().refine(areProfiles), 'freshet', {
    help: "Whose figures are written: freshet's own, and those of well-known tools, computed as they do from raw values. freshet alone: the tools want a sample of up to drift.sampleSize rows of each subject, segment and window, in state and on the log, and know nothing of users whose rows are alike; river, detectors over the means of minutes, needs none",
    takes: `some of ${allProfiles.join(', ')}, separated by commas`,
  }),
  'drift.sampleSize': option(count, 5_000, {
    help: "Raw values that are kept of a subject, segment and open window where drift.profiles names a tool; what a window has beyond them is not in the tools' figures. 5000: shares are told within a percent or so",
    takes: countTakes,
  }),
  'drift.segments': option(z.string().refine(areDimensions), 'surface,cohort,policy,model', {
    help: 'What each subject is told apart by, beside the whole: one at a time, never crossed, the first 16 values of each. All four: when the whole drifts, the next question is where, and a window of a segment takes some 350 bytes for a day',
    takes: `some of ${dimensions.join(', ')}, separated by commas, or nothing`,
  }),
  'drift.delay': option(duration(), 60_000, {
    help: 'How long after its end, in event time, a window is closed. 1m: events come out of order by seconds; what comes later corrects',
    takes: durationTakes,
  }),
  'drift.idle': option(duration(), 10_000, {
    help: 'A source partition silent for so long no longer holds windows open. 10s: a hundred commits',
    takes: durationTakes,
  }),
  'drift.grace': option(duration(), 86_400_000, {
    help: 'How long after its end a window takes corrections. 24h, as sessions do; it is what the state must hold. Below late.grace, what comes in between counts in sessions only',
    takes: durationTakes,
  }),
  'drift.minRows': option(count, 100, {
    help: 'Rows that a window and a reference must have to be compared. 100: with groups of a tenth, ten rows a group',
    takes: countTakes,
  }),
  'drift.reference.windows': option(count, 180, {
    help: "How many first complete one-minute windows make the reference 'first' (a sixtieth as many hours and a 1440th as many days, at least one each). 180: three hours, which smooths the minutes and still starts the same day",
    takes: countTakes,
  }),
  'drift.reference.warmUp': option(duration(), 1_800_000, {
    help: "How long after the stream's first event the first reference begins (six times as long for session lengths, which are known only when sessions end). 30m: in the first minutes there are only young plays and short sessions, and a reference of them would alarm for ever",
    takes: durationTakes,
  }),
  'drift.alpha': option(z.coerce.number().gt(0).lt(0.5), 0.01, {
    help: 'How often chance alone may lift the PSI of any subject over its threshold in one window, and again that of any segment: shared out among all that are compared. .01: with two windows in a row asked for, some false alarms a week, which drift.minPsi makes rarer still where there are many rows',
    takes: 'a number between 0 and 0.5',
  }),
  'drift.minPsi': option(z.coerce.number().min(0).max(10), 0.02, {
    help: 'PSI below this raises no alert, however many rows say it is real (rows of the table drift are marked by their threshold alone). .02 is a rate moving from 30% to 37%; PSI over .1 is what is commonly called moderate',
    takes: 'a number from 0 to 10',
  }),
  'drift.alert.raise': option(count, 2, {
    help: 'One-minute windows in a row over both the threshold and drift.minPsi that raise an alert (hours and days: one). 2: the second minute rules out a burst',
    takes: countTakes,
  }),
  'drift.alert.clear': option(count, 3, {
    help: 'Windows in a row under the threshold that end an alert. 3, more than raise it, so that it does not flap',
    takes: countTakes,
  }),
})
