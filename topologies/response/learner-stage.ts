/** In the learner task: learns from logged impressions as their labels become final, and publishes the weights. */
import type { OptionValues } from '../../streams/options.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { ItemTable } from '../items/table.ts'
import { learnerStores } from '../learner/rows.ts'
import { RateSample } from '../learner/sample.ts'
import { unpackAnswers } from './answers.ts'
import {
  addPosition,
  ageFeature,
  answerNames,
  at,
  creatorBucket,
  creatorBuckets,
  Features,
  itemBucket,
  itemBuckets,
  shownCoordinate,
  topicBucket,
  topicBuckets,
} from './features.ts'
import { emptyImpression, readImpression, responsesChannel } from './impression.ts'
import { ResponseModel } from './model.ts'
import type { responseOptions } from './options.ts'
import {
  chunkSize,
  groupOf,
  parts,
  readChunk,
  readCovariance,
  readDense,
  writeChunk,
  writeDense,
} from './rows.ts'

interface PartRow extends Row {
  readonly part: number
  readonly chunk: number
}

const partRows = (part: number, count: number): PartRow[] =>
  Array.from({ length: count }, (_, chunk) => ({ dirty: false, removed: false, part, chunk }))

export type ResponseOptions = OptionValues<typeof responseOptions>

/** Reads of items what the model looks at. */
type ResponseItems = Pick<ItemTable, 'index' | 'catalog' | 'creatorName' | 'topicName'>

export function responseLearnerStage(
  options: ResponseOptions,
  ctx: Pick<TaskContext, 'now' | 'table' | 'metrics'>,
): Stage<never> {
  const items = ctx.table<ResponseItems>('items')
  const model = new ResponseModel()
  const sample = new RateSample(options['response.maxPerSecond'])
  const dense = partRows(parts.dense, 1)[0]
  const topics = partRows(parts.topics, topicBuckets / chunkSize)
  const creators = partRows(parts.creators, creatorBuckets / chunkSize)
  const itemRows = partRows(parts.items, itemBuckets / chunkSize)
  const minimum = options['response.minImpressions']

  /** Nothing below the minimum, all at twice of it. */
  const strength = (): number =>
    options['response.weight'] * Math.min(1, Math.max(0, model.learnt / minimum - 1))

  const store = new Store<PartRow>({
    id: learnerStores.response,
    name: 'response',
    write: { everyMs: options['response.publishInterval'] },
    writeKey(row, w) {
      w.u8(row.part)
      if (row.part !== parts.dense) w.uint(row.chunk)
    },
    writeValue(row, w) {
      if (row.part === parts.dense) writeDense(model, strength(), w)
      else writeChunk(groupOf(row.part, model), row.chunk, w)
    },
    restore(key, value) {
      if (value === null) return
      const part = key.u8()
      if (part === parts.dense) {
        const head = readDense(value, model.weight)
        if (head === undefined) return
        model.learnt = head.learnt
        model.meanImportance = head.meanImportance
        readCovariance(value, model.covariance)
        return
      }
      const group = groupOf(part, model)
      readChunk(value, key.uint(), group.weight, group.variance)
    },
  })

  const results = (result: string) =>
    ctx.metrics.counter('freshet_response_impressions_total', { result })
  const learnt = results('learnt')
  const left = results('sampled_out')
  const refused = results('refused')
  const lossGauge = ctx.metrics.gauge('freshet_response_loss')
  let meanLoss = Number.NaN

  const impression = emptyImpression()
  const x = new Features()
  const answers = { content: 0, vector: 0, covisit: 0 }

  const learn = (): void => {
    const { itemId, shownAt, source } = impression
    const entry = items.catalog(items.index(itemId))
    const creator = entry?.creator ?? -1
    const topic = entry?.topics[0] ?? -1
    x.clear()
    x.topic = topic < 0 ? -1 : topicBucket(items.topicName(topic))
    x.creator = creator < 0 ? -1 : creatorBucket(items.creatorName(creator))
    x.item = itemBucket(itemId)
    x.add(at.source + source, 1)
    const age = ageFeature(entry, shownAt)
    if (Number.isNaN(age)) x.add(at.ageUnknown, 1)
    else x.add(at.age, age)
    const shown = shownCoordinate(impression.timesShown)
    if (shown >= 0) x.add(shown, 1)
    addPosition(impression.position, x)
    x.add(at.surface + impression.surface, 1)
    unpackAnswers(impression.answers, answers)
    for (const name of answerNames) if (answers[name] !== 0) x.add(at[name], answers[name])
    const loss = model.learn(x, impression.target, impression.propensity)
    if (Number.isNaN(loss)) {
      refused.add()
      return
    }
    learnt.add()
    meanLoss = Number.isNaN(meanLoss) ? loss : meanLoss + 0.001 * (loss - meanLoss)
    store.touch(dense)
    if (x.topic >= 0) store.touch(topics[Math.floor(x.topic / chunkSize)])
    if (x.creator >= 0) store.touch(creators[Math.floor(x.creator / chunkSize)])
    store.touch(itemRows[Math.floor(x.item / chunkSize)])
  }

  return {
    name: 'response',
    stores: [store] as unknown as readonly Store[],
    receives: [responsesChannel],
    receive(_channel, payload) {
      const now = ctx.now()
      while (payload.left > 0) {
        readImpression(payload, impression)
        const hash = hash53(impression.itemId, Math.floor(impression.shownAt % 2 ** 31))
        if (sample.keeps(hash, now)) learn()
        else left.add()
      }
    },
    flush() {
      if (!Number.isNaN(meanLoss)) lossGauge.set(meanLoss)
    },
  }
}
