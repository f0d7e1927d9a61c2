/** Names the invariants of host.ts. Models of our own making on the real runtime; the clock that measures is the test's. */
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Alert, TableRow } from '../../streams/topology/outbox.ts'
import type { Evidence } from '../topk/score.ts'
import { type LoadBytes, ModelHost } from './host.ts'
import type { FeatureSet } from './layout.ts'
import { type OnnxGraph, writeModel } from './onnx-format.ts'
import { openRuntime } from './onnxruntime.ts'
import { cascadeScorer, type FeatureScorer } from './scorer.ts'
import { keyOf, Shelf, shortSha } from './shelf.ts'

const features: FeatureSet = {
  specs: ['a', 'b'].map(name => ({ name, version: 1, default: 0 })),
  hash: 'f00d',
  buckets: 2,
}

const graph = (operator: string, inputs: string[], weights: number[]): OnnxGraph => ({
  inputs: [{ name: 'x', dims: ['n', 2] }],
  nodes: [
    { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] },
    { operator, inputs, outputs: ['y'] },
  ],
  constants: [{ name: 'w', dims: [2, 1], values: Float32Array.from(weights) }],
  outputs: [{ name: 'y', dims: ['n', 1] }],
  metadata: {},
})

const models: Readonly<Record<string, Buffer>> = {
  /** a, then b. */
  first: writeModel(graph('Identity', ['z'], [1, 0])),
  second: writeModel(graph('Identity', ['z'], [0, 1])),
  /** NaN where a < 0. */
  root: writeModel(graph('Sqrt', ['z'], [1, 0])),
}
const shaOf = (name: string): string => Buffer.from(name.padEnd(32, '.')).toString('hex')

/** A host, a list of two candidates with a feature matrix, and the topic as it stands. */
class Stage {
  readonly shelf = new Shelf()
  readonly alerts: Alert[] = []
  readonly rows: TableRow[] = []
  readonly blend: FeatureScorer
  elapsed = 0
  /** What the next runs take. */
  takesMs = 0
  now = 1_000
  /** The blend's logits. */
  blendSays = [0, -1, -2, -3]
  broken = ''
  outages = 0
  readonly host: ModelHost
  private readonly scorer
  private promotions = 0

  constructor(depth = 100, candidates = 2) {
    const load: LoadBytes = async ({ sha256 }) => {
      if (this.outages > 0) {
        this.outages--
        throw new Error('no broker answers')
      }
      const name = Object.keys(models).find(each => shaOf(each) === sha256) ?? ''
      return name === this.broken ? { missing: 'it has no chunk 3' } : models[name]
    }
    const open = openRuntime()
    this.host = new ModelHost({
      name: 'm',
      features,
      open: bytes => {
        const session = open(bytes)
        return {
          ...session,
          run: (feeds, output) => {
            this.elapsed += this.takesMs
            return session.run(feeds, output)
          },
        }
      },
      budgetMs: 1,
      load,
      clock: { now: () => this.now },
      elapsedMs: () => this.elapsed,
      log: silentLogger,
      metrics: noMetrics,
    })
    this.blend = {
      name: 'blend',
      model: '',
      features: new Float32Array(20),
      fill: () => undefined,
      score: (evidence, logits) => {
        for (let i = 0; i < evidence.candidates.count; i++) logits[i] = this.blendSays[i]
      },
    }
    this.scorer = cascadeScorer(this.blend, this.host, depth, candidates)
  }

  push(name: string, lineage: Record<string, string> = {}): void {
    const record = { ...blank, name: 'm', sha256: shaOf(name), ts: 1, chunks: 1, lineage }
    this.shelf.apply(keyOf.manifest('m', shaOf(name)), record)
  }

  async promote(name: string, previous = ''): Promise<void> {
    const lineage: Record<string, string> = previous === '' ? {} : { previous: shaOf(previous) }
    const ts = 100 + ++this.promotions
    this.shelf.apply(keyOf.pointer('m'), { ...blank, name: 'm', sha256: shaOf(name), ts, lineage })
    await this.host.follow(this.shelf)
  }

  /** Logits of a list whose candidates have these features. */
  list(...rows: number[][]): { logits: number[]; name: string; model: string } {
    this.blend.features.set(rows.flat())
    const logits = new Float64Array(rows.length)
    const evidence = {
      bucket: 0,
      candidates: { count: rows.length, items: Int32Array.from(rows.keys()) },
      filter: { logWeight: (item: number) => (item === 0 ? 0 : -0.5) },
    } as unknown as Evidence
    this.scorer.score(evidence, logits)
    this.host.flush({
      alert: alert => void this.alerts.push(alert),
      row: (_, row) => void this.rows.push(row),
    })
    return { logits: [...logits], name: this.scorer.name, model: this.scorer.model }
  }
}

const blank = {
  chunks: 0,
  chunk: null,
  bytes: Buffer.alloc(0),
  sizeBytes: 0,
  featureHash: '',
  lineage: {},
}
const list = [
  [3, 5],
  [4, 7],
]
const blendOnly = { logits: [0, -1], name: 'blend', model: '' }
const byFirst = { logits: [3, 3.5], name: 'm', model: shortSha(shaOf('first')) }
const bySecond = { logits: [5, 6.5], name: 'm', model: shortSha(shaOf('second')) }

describe('H1 what ranks', () => {
  it('is the blend until a model is promoted, then the one promoted last', async () => {
    const stage = new Stage()
    stage.push('first')
    stage.push('second')
    await stage.host.follow(stage.shelf)
    expect(stage.list(...list)).toEqual(blendOnly)
    await stage.promote('first')
    expect(stage.list(...list)).toEqual(byFirst)
    await stage.promote('second', 'first')
    expect(stage.list(...list)).toEqual(bySecond)
    await stage.promote('first')
    expect(stage.list(...list)).toEqual(byFirst)
    stage.shelf.apply('m', null)
    await stage.host.follow(stage.shelf)
    expect(stage.list(...list)).toEqual(blendOnly)
    expect(stage.alerts).toEqual([])
    expect(stage.rows.map(row => [row.sha256, row.promoted_at])).toEqual([
      [shaOf('first'), 101],
      [shaOf('second'), 102],
      [shaOf('first'), 103],
    ])
  })

  it.each<[what: string, make: (stage: Stage) => void, message: RegExp]>([
    [
      'a chunk is missing',
      stage => {
        stage.push('second')
        stage.broken = 'second'
      },
      /no chunk 3/,
    ],
    ['its manifest is missing', () => undefined, /manifest is not on the topic/],
    [
      'a feature is computed otherwise',
      stage => stage.push('second', { features: 'a@1,b@2' }),
      /b@2, this program has b@1/,
    ],
  ])('goes on where the next can not be used: %s', async (_, make, message) => {
    const stage = new Stage()
    stage.push('first')
    await stage.promote('first')
    make(stage)
    await stage.promote('second', 'first')
    expect(stage.list(...list)).toEqual(byFirst)
    expect(stage.alerts).toHaveLength(1)
    expect(stage.alerts[0].message).toMatch(message)
  })

  it('is taken over once the log can be read again', async () => {
    const stage = new Stage()
    stage.push('first')
    stage.outages = 2
    await stage.promote('first')
    expect(stage.list(...list)).toEqual(blendOnly)
    await stage.host.follow(stage.shelf)
    await stage.host.follow(stage.shelf)
    expect(stage.list(...list)).toEqual(byFirst)
    expect(stage.alerts).toEqual([])
  })
})

describe('H2 a model is demoted', () => {
  it('that gives NaN: the list keeps the order of the blend, then the one before ranks', async () => {
    const stage = new Stage()
    stage.push('first')
    stage.push('root')
    await stage.promote('root', 'first')
    expect(stage.list([9, 0], [4, 0]).logits).toEqual([3, 1.5])
    expect(stage.list([-1, 0], [4, 0])).toEqual(blendOnly)
    await stage.host.follow(stage.shelf)
    expect(stage.list(...list)).toEqual(byFirst)
    const message = expect.stringMatching(/gives NaN.*promoted before/)
    expect(stage.alerts).toEqual([
      expect.objectContaining({ rule: 'model-demoted', until: null, message }),
    ])
  })

  it('that is too slow in three lists running, not by one pause of the machine', async () => {
    const stage = new Stage()
    stage.push('first')
    await stage.promote('first')
    // two rows are reckoned as 100: 10 ms are 100 ms for 1,000
    const lists = (...tookMs: number[]): void => {
      for (const ms of tookMs) {
        stage.takesMs = ms
        stage.list(...list)
      }
    }
    lists(10, 10, 10, 10, 500, 0, 11, 11, 10, 11, 11)
    expect(stage.host.served).toBeDefined()
    lists(11)
    expect(stage.host.served).toBeUndefined()
    expect(stage.alerts).toEqual([expect.objectContaining({ value: 110, threshold: 100 })])
    expect(stage.list(...list)).toEqual(blendOnly)
  })

  it('and H4 has another chance once it is promoted again, which ends the alert (H3)', async () => {
    const stage = new Stage()
    stage.push('root')
    await stage.promote('root')
    stage.list([-1, 0], [4, 0])
    await stage.host.follow(stage.shelf)
    expect(stage.list([9, 0], [4, 0])).toEqual(blendOnly)
    stage.now = 2_000
    await stage.promote('root')
    expect(stage.list([9, 0], [4, 0]).name).toBe('m')
    expect(stage.alerts.map(alert => [alert.since, alert.until])).toEqual([
      [1_000, null],
      [1_000, 2_000],
    ])
  })
})

describe('the cascade', () => {
  it('ranks the best of the blend; the others follow below in their order', async () => {
    const stage = new Stage(2, 4)
    stage.push('first')
    await stage.promote('first')
    const { logits } = stage.list([1, 0], [2, 0], [100, 0], [200, 0])
    expect(logits).toEqual([1, 1.5, 0, -1])
    stage.blendSays = [5, 9, 1, 8]
    expect(stage.list([1, 0], [2, 0], [100, 0], [200, 0]).logits).toEqual([0.5, 1.5, -3.5, 199.5])
  })
})
