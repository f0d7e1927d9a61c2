/**
 * In the statistic task, after the drift stage: adds up the sums of all user tasks, and writes an experiment's figures for
 * each interval of event time in which they changed, once the watermark has passed its end.
 *
 *  - S1 The figures of a time are those of all that the source partitions knew when their event time reached it, in whatever
 *       order it came. What comes later (of a source that was silent too long) stands in the next interval.
 *  - S2 A time is written once.
 */
import type { OptionValues } from '../../streams/options.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { Watermark } from '../drift/watermark.ts'
import type { ExperimentBook } from './book.ts'
import { experimentsChannel, readDeltas } from './deltas.ts'
import type { experimentsOptions } from './options.ts'
import { experimentRows } from './rows.ts'
import { none } from './statistics/estimates.ts'
import { ArmSums } from './sums.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const stores = { totals: 60, open: 61, progress: 62 } as const
const layout = 1
/** Times closed in one commit, some thirty rows an experiment each (C1). */
const timesPerCommit = 20
/** Open sums above which input waits (C7): ~10 MB. */
const maxOpen = 5_000

interface SumsRow extends Row {
  readonly experiment: string
  readonly arm: string
  /** 0: all that is closed. */
  readonly time: number
  readonly sums: ArmSums
}

interface Progress extends Row {
  /** The newest time that was closed. */
  closedUntil: number
}

export function createExperimentsStatisticsStage(
  options: OptionValues<typeof experimentsOptions>,
  book: ExperimentBook,
  watermark: Readonly<Watermark>,
): Stage<never> {
  /** By experiment and arm. */
  const totals = new Map<string, SumsRow>()
  /** By time, then experiment and arm. */
  const open = new Map<number, Map<string, SumsRow>>()
  const progress: Progress = { dirty: false, removed: false, closedUntil: 0 }
  const settings = {
    alpha: options['experiments.alpha'],
    minUsers: options['experiments.minUsers'],
    adjust: options['experiments.adjust'],
  }
  let openRows = 0

  const totalStore = sumsStore(stores.totals, 'experiments-totals', row => {
    if (row.removed) totals.delete(keyOf(row.experiment, row.arm))
    else totals.set(keyOf(row.experiment, row.arm), row)
  })
  const openStore = sumsStore(stores.open, 'experiments-open', row => {
    const key = keyOf(row.experiment, row.arm)
    const byArm = open.get(row.time) ?? new Map<string, SumsRow>()
    open.set(row.time, byArm)
    if (byArm.delete(key)) openRows--
    if (!row.removed) {
      byArm.set(key, row)
      openRows++
    }
    if (byArm.size === 0) open.delete(row.time)
  })
  const progressStore = new Store<Progress>({
    id: stores.progress,
    name: 'experiments-progress',
    write: 'exact',
    writeKey: () => undefined,
    writeValue: (row, w) => w.uint(row.closedUntil),
    restore: (_key, value) => {
      progress.closedUntil = value === null ? 0 : value.uint()
    },
  })

  const rowIn = (
    map: Map<string, SumsRow>,
    time: number,
    experiment: string,
    arm: string,
  ): SumsRow => {
    const key = keyOf(experiment, arm)
    let row = map.get(key)
    if (row === undefined) {
      row = newRow(experiment, arm, time)
      map.set(key, row)
      if (time !== 0) openRows++
    }
    return row
  }

  const take = (time: number, experiment: string, arm: string, sums: ArmSums): void => {
    const at =
      time > progress.closedUntil ? time : progress.closedUntil + options['experiments.interval']
    let byArm = open.get(at)
    if (byArm === undefined) {
      byArm = new Map()
      open.set(at, byArm)
    }
    const row = rowIn(byArm, at, experiment, arm)
    row.sums.merge(sums)
    openStore.touch(row)
  }

  const close = (time: number, out: Outbox): void => {
    const changed = new Set<string>()
    for (const row of open.get(time)?.values() ?? []) {
      const total = rowIn(totals, 0, row.experiment, row.arm)
      total.sums.merge(row.sums)
      totalStore.touch(total)
      openStore.remove(row)
      openRows--
      changed.add(row.experiment)
    }
    open.delete(time)
    progress.closedUntil = time
    progressStore.touch(progress)
    for (const name of [...changed].sort()) {
      const definition = book.get(name)
      // it was taken away from the topic
      if (definition === undefined) continue
      const rows = experimentRows(
        definition,
        time,
        (arm, metric) => totals.get(keyOf(name, arm))?.sums.of(metric) ?? none,
        settings,
      )
      for (const row of rows) out.row('experiments', row)
    }
  }

  const due = (): number[] =>
    [...open.keys()].filter(time => watermark.passed(time, 0)).sort((a, b) => a - b)

  return {
    name: 'experiments',
    stores: [totalStore, openStore, progressStore] as unknown as readonly Store[],
    receives: [experimentsChannel],
    receive(_channel, payload) {
      readDeltas(payload, take)
    },
    urgent: () => due().length > 0,
    full: () => openRows > maxOpen,
    flush(out) {
      for (const time of due().slice(0, timesPerCommit)) close(time, out)
    },
  }
}

function keyOf(experiment: string, arm: string): string {
  return `${experiment}\n${arm}`
}

function newRow(experiment: string, arm: string, time: number, sums = new ArmSums()): SumsRow {
  return { dirty: false, removed: false, experiment, arm, time, sums }
}

function sumsStore(id: number, name: string, restored: (row: SumsRow) => void): Store<SumsRow> {
  return new Store<SumsRow>({
    id,
    name,
    write: 'exact',
    writeKey: (row: SumsRow, w: ByteWriter) =>
      w.uint(row.time).string(row.experiment).string(row.arm),
    writeValue: (row: SumsRow, w: ByteWriter) => row.sums.write(w.u8(layout)),
    restore(key: ByteReader, value: ByteReader | null) {
      const time = key.uint()
      const experiment = key.string()
      const arm = key.string()
      value?.u8()
      const row = newRow(experiment, arm, time, value === null ? undefined : ArmSums.read(value))
      row.removed = value === null
      restored(row)
    },
  })
}
