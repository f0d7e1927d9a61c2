/**
 * The model that ranks in this process: the one that the topic's pointer names, as long as it behaves.
 *
 *  - H1 What ranks goes on until another is loaded whole and fits the features as they are computed here.
 *  - H2 A model that gives what is no finite number, fails, or takes 100 times its budget in three lists running is demoted
 *       in this process: the one promoted before takes over, else the blend. The list at hand keeps the blend's order.
 *  - H3 A demotion is told: an alert (and its end, once another is promoted), a log line, a counter.
 *  - H4 Promoting again gives a demoted model another chance.
 *
 * Demotion is a process' own: what is slow on one machine may be well on the others, and no process rewrites what a person
 * promoted.
 */
import type { Clock } from '../../streams/clock.ts'
import { messageOf } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import type { Metrics } from '../../streams/metrics.ts'
import type { Alert, Outbox, TableRow } from '../../streams/topology/outbox.ts'
import { probes } from './check.ts'
import { type FeatureSet, otherFeatures } from './layout.ts'
import type { OpenSession } from './onnxruntime.ts'
import { type ModelRunner, openModel } from './runner.ts'
import { type Manifest, type Pointer, type Shelf, shortSha } from './shelf.ts'

/** A model's bytes as they stand on the topic, or why they can't be had. */
export type LoadBytes = (manifest: Manifest) => Promise<Uint8Array | { readonly missing: string }>

export interface ModelHostSettings {
  readonly name: string
  readonly features: FeatureSet
  readonly open: OpenSession
  /** For 1,000 rows. */
  readonly budgetMs: number
  readonly load: LoadBytes
  readonly clock: Pick<Clock, 'now'>
  /** Of a clock that only measures. */
  readonly elapsedMs: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

export interface ServedModel {
  readonly name: string
  readonly sha256: string
  readonly runner: ModelRunner
}

/** How many times its budget a model may take. */
const SLOW_TIMES = 100
/** Lists running that must be too slow: a pause of the machine meets one. */
const SLOW_LISTS = 3
/** Short lists are reckoned as this many rows: what a call costs beside its rows is no fault of the model. */
const LEAST_ROWS = 100

export class ModelHost {
  /** What ranks; undefined: the blend alone. */
  served: ServedModel | undefined
  private readonly settings: ModelHostSettings
  private readonly demoted = new Set<string>()
  private shelf: Shelf | undefined
  private pointer: Pointer | undefined
  private slowRunning = 0
  private adopting: Promise<void> | undefined
  /** Demotions whose alerts are open. */
  private alarms: Alert[] = []
  private unsentAlerts: Alert[] = []
  private unsentRows: TableRow[] = []
  private readonly seconds
  private readonly rows

  constructor(settings: ModelHostSettings) {
    this.settings = settings
    this.seconds = settings.metrics.histogram('freshet_topk_seconds', { stage: 'model' })
    this.rows = settings.metrics.counter('freshet_model_rows_total')
  }

  /** Takes in what stands on the topic now; resolves once what is to rank is loaded or demoted. */
  async follow(shelf: Shelf): Promise<void> {
    this.shelf = shelf
    const pointer = shelf.pointer(this.settings.name)
    if (
      pointer?.promotedAt !== this.pointer?.promotedAt ||
      pointer?.sha256 !== this.pointer?.sha256
    ) {
      if (pointer) this.demoted.delete(pointer.sha256)
      this.endAlarms()
    }
    this.pointer = pointer
    await this.reconcile()
  }

  /**
   * Raw scores of the first n `rows` of the feature matrix. False: the model was demoted just now, and `scores` are void.
   */
  score(
    model: ServedModel,
    matrix: ArrayLike<number>,
    rows: Int32Array,
    n: number,
    bucket: number,
    scores: Float64Array,
  ): boolean {
    const { elapsedMs, budgetMs } = this.settings
    const start = elapsedMs()
    try {
      model.runner.score(matrix, n, bucket, scores, rows)
    } catch (error) {
      this.demote(model.sha256, 0, 0, `it fails: ${messageOf(error).split('\n')[0]}`)
      return false
    }
    const tookMs = elapsedMs() - start
    this.seconds.observe(tookMs / 1000)
    this.rows.add(n)
    for (let i = 0; i < n; i++)
      if (!Number.isFinite(scores[i])) {
        this.demote(model.sha256, 0, 0, `it gives ${scores[i]} for a candidate of a list`)
        return false
      }
    const perThousand = (tookMs / Math.max(n, LEAST_ROWS)) * 1000
    if (perThousand <= SLOW_TIMES * budgetMs) this.slowRunning = 0
    else if (++this.slowRunning >= SLOW_LISTS) {
      this.demote(
        model.sha256,
        perThousand,
        SLOW_TIMES * budgetMs,
        `1,000 rows take ${perThousand.toFixed(0)} ms, the budget is ${budgetMs} (option models.budgetMs)`,
      )
      return false
    }
    return true
  }

  /** What is to be told leaves with the commit of whichever task comes first. */
  flush(out: Pick<Outbox, 'alert' | 'row'>): void {
    for (const alert of this.unsentAlerts) out.alert(alert)
    for (const row of this.unsentRows) out.row('models', row)
    if (this.unsentAlerts.length > 0) this.unsentAlerts = []
    if (this.unsentRows.length > 0) this.unsentRows = []
  }

  close(): void {
    this.served?.runner.close()
    this.served = undefined
  }

  private demote(sha256: string, value: number, threshold: number, why: string): void {
    const { name, clock, log, metrics } = this.settings
    this.demoted.add(sha256)
    this.slowRunning = 0
    if (this.served?.sha256 === sha256) this.close()
    const next = this.wanted()
    const instead = next ? `${name}@${shortSha(next)}, promoted before,` : 'the blend'
    const message = `model ${name}@${shortSha(sha256)} is demoted: ${why}; ${instead} ranks instead. Mend it and push it again, or \`freshet models rollback ${name}\``
    log.error({ model: `${name}@${sha256}` }, message)
    metrics.counter('freshet_model_demotions_total', { model: name }).add()
    const alert: Alert = {
      rule: 'model-demoted',
      subject: `model:${name}@${shortSha(sha256)}`,
      since: clock.now(),
      until: null,
      value,
      threshold,
      message,
    }
    this.alarms.push(alert)
    this.unsentAlerts.push(alert)
    void this.reconcile()
  }

  private endAlarms(): void {
    const until = this.settings.clock.now()
    for (const alert of this.alarms) this.unsentAlerts.push({ ...alert, until })
    this.alarms = []
  }

  /** sha256 of what is to rank: the promoted one, else the one before it. */
  private wanted(): string | undefined {
    const { pointer } = this
    if (pointer === undefined) return undefined
    return [pointer.sha256, pointer.previous].find(sha => sha !== '' && !this.demoted.has(sha))
  }

  private reconcile(): Promise<void> {
    this.adopting ??= this.adopt()
    return this.adopting
  }

  /** Loads what is to rank. Whatever can't be used is demoted, and the next is tried. Never throws. */
  private async adopt(): Promise<void> {
    // `adopting` is set before this ends
    await null
    try {
      for (let sha256 = this.wanted(); sha256 !== this.served?.sha256; sha256 = this.wanted()) {
        if (sha256 === undefined) this.close()
        else await this.adoptOne(sha256)
      }
    } catch (error) {
      const { name, log } = this.settings
      log.warn({ error: messageOf(error) }, `model ${name} can't be read: tried again`)
    } finally {
      this.adopting = undefined
    }
  }

  private async adoptOne(sha256: string): Promise<void> {
    const found = await this.load(sha256)
    if (sha256 !== this.wanted()) {
      // another was promoted while this one was read
      if ('runner' in found) found.runner.close()
    } else if ('refused' in found) this.demote(sha256, 0, 0, found.refused)
    else {
      this.close()
      this.served = { name: this.settings.name, sha256, runner: found.runner }
      this.slowRunning = 0
      this.tellAdopted(found.manifest)
    }
  }

  private async load(
    sha256: string,
  ): Promise<{ runner: ModelRunner; manifest: Manifest } | { refused: string }> {
    const { name, load, features, open } = this.settings
    const manifest = this.shelf?.manifest(name, sha256)
    if (!manifest) return { refused: 'its manifest is not on the topic' }
    const other = otherFeatures(manifest.lineage.features ?? '', features)
    if (other) return { refused: other }
    const bytes = await load(manifest)
    if ('missing' in bytes) return { refused: bytes.missing }
    const opened = openModel(bytes, features, open)
    if ('refusals' in opened) {
      const [{ found, expected, mend }] = opened.refusals
      return { refused: `${found}; expected: ${expected}; ${mend}` }
    }
    const rows = probes(features, 0)
    const matrix = Float64Array.from(rows.flatMap(({ row }) => [...row]))
    const scores = new Float64Array(rows.length)
    try {
      opened.runner.score(matrix, rows.length, 0, scores)
    } catch (error) {
      opened.runner.close()
      return { refused: `it fails: ${messageOf(error).split('\n')[0]}` }
    }
    if (scores.every(Number.isFinite)) return { runner: opened.runner, manifest }
    opened.runner.close()
    return { refused: `it gives ${[...scores]} for ${rows.map(({ what }) => what).join(' and ')}` }
  }

  private tellAdopted({ name, sha256, lineage, featureHash }: Manifest): void {
    this.settings.log.info(
      { model: `${name}@${sha256}` },
      `model ${name}@${shortSha(sha256)} ranks`,
    )
    this.unsentRows.push({
      revision: 1,
      sha256,
      name,
      promoted_at: this.pointer?.promotedAt ?? 0,
      lineage: JSON.stringify(lineage),
      feature_hash: featureHash,
    })
  }
}
