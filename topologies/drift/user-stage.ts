/**
 * In the user task, after the sessions stage: turns events into changes of histograms and sends them, once a commit, to
 * the statistic tasks. Counts by surface, cohort, policy and model; the whole and its segments are summed where they arrive.
 *
 * What is counted is a function of the task's record order alone, but for two things that are of this run: features as they
 * were served, as far as memory has them, and how long lists took. A play of a user without full consent is held in memory
 * only, so after a restart its next heartbeat may count it twice in an hour.
 */
import type { OptionValues } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { ServedFeatures } from '../served/features.ts'
import type { ActivityEvent, ImpressionEvent, UserEvent, WatchEvent } from '../user/event.ts'
import type { User } from '../user/user.ts'
import { sampleHash } from './bottom-k.ts'
import { DeltaBuffer, statisticsKind } from './deltas.ts'
import { type driftOptions, featuresOf, profilesOf } from './options.ts'
import {
  type Beat,
  DueMinutes,
  lifeMs,
  newestOf,
  type PlayRow,
  readPlay,
  takeBeat,
  writePlay,
} from './plays.ts'
import { allSizes, type RawValue, SampleBuffer } from './samples/deltas.ts'
import { type Place, Places } from './segments.ts'
import {
  binOf,
  contextKeys,
  contextSubject,
  featureSubjects,
  numberSubjects,
  shardCount,
  sizes,
  subject,
} from './subjects.ts'

/** Store numbers in the task kind `user`. On the log for ever. */
export const driftUserStores = { plays: 40, progress: 41 } as const

interface ProgressRow extends Row {
  /** Newest event time of this task, ms. */
  watermark: number
}

/**
 * Windows that one packet changes: each in some subjects, their hours and days and segments, all in one commit where it
 * arrives (C1). Live it is a few; an old log, imported at once, has a minute of its own for nearly every event.
 */
const maxWindows = 500
const minuteMs = sizes[0].ms
const edgesOf = (number: number): Float64Array => numberSubjects[number].edges

export interface DriftUserStage extends Stage<UserEvent> {
  /** A user's lists on these surfaces were built `ms` after the record that they answer (its Kafka timestamp). */
  listed(user: Pick<User, 'id' | 'cohort'>, ms: number, surfaces: readonly string[]): void
  /** The user is removed, or gave less consent: their plays go. What was counted stays. */
  forget(userId: string): void
}

/** `served`: absent, no features are counted. */
export function createDriftUserStage(
  options: Pick<
    OptionValues<typeof driftOptions>,
    'drift.context' | 'drift.features' | 'drift.profiles' | 'drift.sampleSize'
  >,
  ctx: Pick<TaskContext, 'partition' | 'partitionsOf' | 'metrics'>,
  served?: Pick<ServedFeatures, 'of'>,
): DriftUserStage {
  const keys = contextKeys(options['drift.context'])
  const places = new Places()
  const features = served ? featuresOf(options['drift.features']) : []
  const watched = features.map(feature => featureSubjects[feature])
  const buffer = new DeltaBuffer([...numberSubjects, ...watched], keys.map(contextSubject))
  const samples =
    profilesOf(options['drift.profiles']).tools.length > 0
      ? new SampleBuffer(options['drift.sampleSize'])
      : undefined
  const plays = new Map<string, PlayRow>()
  const playsGauge = ctx.metrics.gauge('freshet_drift_plays', { partition: `${ctx.partition}` })
  const progress: ProgressRow = { dirty: false, removed: false, watermark: 0 }
  /** What a heartbeat changed, by window size. */
  const before: (Beat | undefined)[] = []
  const after: (Beat | undefined)[] = []
  const due = new DueMinutes()
  let news = false

  const playStore = new Store<PlayRow>({
    id: driftUserStores.plays,
    name: 'drift-plays',
    write: 'exact',
    writeKey: (row, w) => w.string(row.userId).rawString(row.playId),
    writeValue(row, w) {
      const { surface, cohort } = row.place
      writePlay({ surface, cohort, beats: row.beats }, w)
    },
    restore(key, value) {
      const userId = key.string()
      const playId = key.rawString()
      if (value === null) {
        plays.delete(playKey(userId, playId))
        return
      }
      const { surface, cohort, beats } = readPlay(value)
      plays.set(playKey(userId, playId), newPlay(userId, playId, places.of(surface, cohort), beats))
    },
  })
  const progressStore = new Store<ProgressRow>({
    id: driftUserStores.progress,
    name: 'drift-progress',
    write: 'exact',
    writeKey: () => undefined,
    writeValue: (row, w) => w.uint(row.watermark),
    restore: (_key, value) => {
      progress.watermark = value === null ? 0 : value.uint()
    },
  })

  const count = (place: Place, ts: number, number: number, value: number, shard: number): void =>
    buffer.at(place, 0, ts).count(number, binOf(edgesOf(number), value), shard, 1)

  const countSession = (event: ActivityEvent, place: Place, shard: number): void => {
    const { ts, closedSessionMs } = event
    count(place, ts, subject.sessionLength, closedSessionMs, shard)
    const hash = sampleHash(event.event.eventId)
    const { name } = numberSubjects[subject.sessionLength]
    samples?.add(name, place, allSizes, ts, { hash, value: closedSessionMs })
  }

  /** Moves a row from the bin of its old value to that of its new one; -1: it had none, or has none. */
  const move = (
    play: PlayRow,
    size: number,
    minute: number,
    number: number,
    shard: number,
    from: number,
    to: number,
  ): void => {
    if (from === to) return
    const block = buffer.at(play.place, size, minute * minuteMs)
    if (from >= 0) block.count(number, from, shard, -1)
    if (to >= 0) block.count(number, to, shard, 1)
  }

  const countChange = (
    play: PlayRow,
    size: number,
    shard: number,
    old: Beat | undefined,
    now: Beat | undefined,
  ): void => {
    const minute = (now ?? old)?.minute
    if (minute === undefined) return
    move(play, size, minute, subject.watchedMs, shard, watchedBin(old), watchedBin(now))
    move(play, size, minute, subject.positive, shard, positiveBin(old), positiveBin(now))
    move(play, size, minute, subject.watchedRatio, shard, ratioBin(old), ratioBin(now))
  }

  /** What a heartbeat made of the play's values in the windows around it. */
  const samplePlay = (play: PlayRow, ts: number, to: SampleBuffer): void => {
    const hash = sampleHash(playKey(play.userId, play.playId))
    for (let size = 0; size < sizes.length; size++) {
      const beat = after[size]
      if (beat === undefined) continue
      const add = (number: number, value: number): void =>
        to.add(numberSubjects[number].name, play.place, size, ts, { hash, value })
      add(subject.watchedMs, beat.watchedMs)
      add(subject.positive, beat.positive ? 1 : 0)
      if (beat.durationMs > 0) add(subject.watchedRatio, ratioOf(beat))
    }
  }

  const sampleImpression = (
    { ts, event }: ImpressionEvent,
    place: Place,
    to: SampleBuffer,
  ): void => {
    const { eventId, position, score, context } = event
    const hash = sampleHash(eventId)
    const add = (name: string, value: RawValue): void =>
      to.add(name, place, allSizes, ts, { hash, value })
    add(numberSubjects[subject.position].name, position)
    add(numberSubjects[subject.prediction].name, score ?? Number.NaN)
    for (const key of keys) if (context[key]) add(contextSubject(key), context[key])
  }

  /** The features that the impression's list was ranked by; where they are not known nothing is counted, as missing neither. */
  const countFeatures = (event: ImpressionEvent, place: Place, shard: number): void => {
    const values = served?.of(event)
    if (values === undefined) return
    const block = buffer.at(place, 0, event.ts)
    for (let k = 0; k < features.length; k++) {
      const number = numberSubjects.length + k
      const value = values[features[k]]
      if (Number.isFinite(value)) block.count(number, binOf(watched[k].edges, value), shard, 1)
      else block.missing[number]++
    }
    if (!samples) return
    const hash = sampleHash(event.event.eventId)
    for (let k = 0; k < features.length; k++)
      samples.add(watched[k].name, place, allSizes, event.ts, { hash, value: values[features[k]] })
  }

  const isOver = (play: PlayRow): boolean => newestOf(play) + lifeMs < progress.watermark

  const playOf = (event: WatchEvent): PlayRow => {
    const { userId, playId, surface, cohort } = event.event
    const key = playKey(userId, playId)
    let known = plays.get(key)
    // forgotten by event time, whether or not the sweep came by
    if (known && isOver(known)) {
      forget(known)
      known = undefined
    }
    if (known && (event.consent === 'full' || !known.stored)) return known
    const place = known?.place ?? places.of(surface, cohort)
    const play = newPlay(userId, playId, place, known ? [...known.beats] : [])
    if (known) forget(known)
    plays.set(key, play)
    if (known) lookAgain(play)
    return play
  }

  const forget = (play: PlayRow): void => {
    plays.delete(playKey(play.userId, play.playId))
    if (play.stored) playStore.remove(play)
  }

  /** Looks at all plays: there are as many as are watched within ten minutes. */
  const forgetUser = (userId: string): void => {
    for (const play of plays.values()) if (play.userId === userId) forget(play)
  }

  const watch = (event: WatchEvent, shard: number): void => {
    const play = playOf(event)
    const { watchedMs, durationMs } = event.event
    const was = play.beats.length > 0 && play.beats[play.beats.length - 1].positive
    const beat: Beat = {
      minute: Math.floor(event.ts / minuteMs),
      watchedMs,
      durationMs,
      positive: event.positive || was,
    }
    const fresh = play.beats.length === 0
    const changed = takeBeat(play.beats, beat, before, after)
    if (!changed) return
    if (fresh) lookAgain(play)
    countChange(play, 0, shard, before[0], after[0])
    for (let size = 1; size < sizes.length; size++) {
      if (before[size] !== before[0] || after[size] !== after[0]) {
        // a minute's change counts for its hour and day too: taken back there, since theirs is another
        countChange(play, size, shard, after[0], before[0])
        countChange(play, size, shard, before[size], after[size])
      }
    }
    if (samples) samplePlay(play, beat.minute * minuteMs, samples)
    if (event.consent !== 'full') return
    play.stored = true
    playStore.touch(play)
  }

  const lookAgain = (play: PlayRow): void =>
    due.add(play, Math.ceil((newestOf(play) + lifeMs) / minuteMs))

  /** Forgets plays that are over. By the watermark, so it is the same after a restart. */
  const sweep = (): void => {
    for (const play of due.takeBefore(Math.floor(progress.watermark / minuteMs))) {
      if (plays.get(playKey(play.userId, play.playId)) !== play) continue
      if (isOver(play)) forget(play)
      else lookAgain(play)
    }
    playsGauge.set(plays.size)
  }

  return {
    name: 'drift',
    forget: forgetUser,
    stores: [playStore, progressStore] as unknown as readonly Store<never>[],
    process(event) {
      if (event.kind === 'erasure') {
        forgetUser(event.userId)
        return undefined
      }
      news = true
      const { ts } = event
      const { surface, cohort } = event.event
      const shard = hash53(event.userId) % shardCount
      if (event.closedSessionMs >= 0) countSession(event, places.of(surface, cohort), shard)
      if (event.kind === 'impression') {
        const { position, score, context, policy, modelVersion } = event.event
        const place = places.of(surface, cohort, policy, modelVersion)
        if (samples) sampleImpression(event, place, samples)
        const block = buffer.at(place, 0, ts)
        block.count(subject.position, binOf(edgesOf(subject.position), position), shard, 1)
        if (score === null || !Number.isFinite(score)) block.missing[subject.prediction]++
        else block.count(subject.prediction, binOf(edgesOf(subject.prediction), score), shard, 1)
        for (let k = 0; k < keys.length; k++) {
          const name = context[keys[k]]
          if (name) block.countName(k, name, shard)
          else block.categoriesMissing[k] = (block.categoriesMissing[k] ?? 0) + 1
        }
        if (features.length > 0) countFeatures(event, place, shard)
      } else if (event.kind === 'watch') watch(event, shard)
      if (ts > progress.watermark) progress.watermark = ts
      return undefined
    },
    listed({ id, cohort }, ms, surfaces) {
      const at = progress.watermark
      // a list of before the first event is of no window
      if (at === 0) return
      news = true
      // a producer's clock may be ahead of this one
      const value = Math.max(0, ms)
      const { name, edges } = numberSubjects[subject.latency]
      const bin = binOf(edges, value)
      const shard = hash53(id) % shardCount
      for (const surface of surfaces) {
        const place = places.of(surface, cohort)
        buffer.at(place, 0, at).count(subject.latency, bin, shard, 1)
        const hash = sampleHash(`${id}\n${surface}\n${at}`)
        samples?.add(name, place, allSizes, at, { hash, value })
      }
    },
    full: () => buffer.windows >= maxWindows,
    flush(out) {
      if (!news) return
      news = false
      sweep()
      buffer.flush(out, ctx.partitionsOf(statisticsKind), ctx.partition, progress.watermark)
      samples?.flush(out, ctx.partitionsOf(statisticsKind))
      progressStore.touch(progress)
    },
    restored() {
      for (const play of plays.values()) {
        play.stored = true
        lookAgain(play)
      }
    },
    carry(w) {
      const unstored = [...plays.values()].filter(({ stored }) => !stored)
      w.uint(unstored.length)
      for (const { userId, playId, place, beats } of unstored) {
        const row = new ByteWriter(64)
        writePlay({ surface: place.surface, cohort: place.cohort, beats }, row)
        w.string(userId).string(playId).blob(row.bytes())
      }
    },
    carried(r) {
      for (let left = r.uint(); left > 0; left--) {
        const [userId, playId] = [r.string(), r.string()]
        const { surface, cohort, beats } = readPlay(new ByteReader(r.blob()))
        const play = newPlay(userId, playId, places.of(surface, cohort), beats)
        plays.set(playKey(userId, playId), play)
        lookAgain(play)
      }
    },
  }
}

const watchedBin = (beat: Beat | undefined): number =>
  beat ? binOf(edgesOf(subject.watchedMs), beat.watchedMs) : -1

const positiveBin = (beat: Beat | undefined): number => (beat ? (beat.positive ? 1 : 0) : -1)

const ratioBin = (beat: Beat | undefined): number =>
  beat && beat.durationMs > 0 ? binOf(edgesOf(subject.watchedRatio), ratioOf(beat)) : -1

const ratioOf = (beat: Beat): number => Math.min(1, beat.watchedMs / beat.durationMs)

function playKey(userId: string, playId: string): string {
  return `${userId}\n${playId}`
}

function newPlay(userId: string, playId: string, place: Place, beats: Beat[]): PlayRow {
  return { dirty: false, removed: false, userId, playId, place, stored: false, beats }
}
