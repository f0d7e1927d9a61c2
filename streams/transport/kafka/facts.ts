/** What `doctor` asks a cluster about itself: who is there, what they speak, how brokers and topics are set. */
import type { BrokerFacts, ClusterFacts } from '../port.ts'
import type { Cluster } from './cluster.ts'
import { codeName } from './codes.ts'
import { fetchRequest, listOffsetsRequest, produceRequest, type WireRequest } from './protocol.ts'
import { WireReader, WireWriter } from './wire.ts'

const TOPIC = 2
const BROKER = 4
const ANSWER_MS = 10_000

interface Asked {
  readonly type: typeof TOPIC | typeof BROKER
  readonly name: string
  /** Settings to tell; null: all. */
  readonly settings: readonly string[] | null
}

interface Described {
  readonly errorCode: number
  readonly name: string
  readonly settings: Readonly<Record<string, string>>
}

/** DescribeConfigs v1. Brokers answer for themselves, so a broker is asked about itself. */
function describeConfigsRequest(asked: readonly Asked[]): WireRequest<readonly Described[]> {
  const w = new WireWriter()
  w.array(asked, one => {
    w.int8(one.type).string(one.name)
    if (one.settings === null) w.int32(-1)
    else
      w.array(one.settings, name => {
        w.string(name)
      })
  }).int8(0)
  return {
    apiKey: 32,
    apiVersion: 1,
    apiName: 'DescribeConfigs',
    body: w.done(),
    timeoutMs: ANSWER_MS,
    decode: response => {
      const r = new WireReader(response)
      r.int32()
      return r.array(() => {
        const errorCode = r.int16()
        r.string()
        r.int8()
        const name = r.text()
        const entries = r.array(() => {
          const entry: [string, string] = [r.text(), r.text()]
          r.int8()
          r.int8()
          r.int8()
          r.array(() => [r.string(), r.string(), r.int8()])
          return entry
        })
        return { errorCode, name, settings: Object.fromEntries(entries) }
      })
    },
  }
}

/** ApiVersions v0: the newest version of each request that the broker speaks, and the oldest. */
const apiVersionsRequest: WireRequest<ReadonlyMap<number, { min: number; max: number }>> = {
  apiKey: 18,
  apiVersion: 0,
  apiName: 'ApiVersions',
  body: Buffer.alloc(0),
  timeoutMs: ANSWER_MS,
  decode: response => {
    const r = new WireReader(response)
    r.int16()
    return new Map(r.array(() => [r.int16(), { min: r.int16(), max: r.int16() }] as const))
  },
}

/** The versions that the data path is written in; what goes through kafkajs is negotiated by it. */
const spoken: readonly { apiKey: number; apiVersion: number; apiName: string }[] = [
  produceRequest([], 0),
  fetchRequest([], { maxBytes: 0, maxWaitMs: 0 }),
  listOffsetsRequest([]),
]

/** Waits for brokers as everything does. A right that is missing shows as settings that are null. */
export function readFacts(cluster: Cluster, topics: readonly string[]): Promise<ClusterFacts> {
  return cluster.persist('the brokers', async () => {
    const metadata = await cluster.refresh([])
    const brokers: BrokerFacts[] = []
    for (const { nodeId, host, port } of metadata.brokers) {
      const link = await cluster.link(nodeId)
      const versions = await link.send(apiVersionsRequest)
      const [own] = await link.send(
        describeConfigsRequest([
          { type: BROKER, name: String(nodeId), settings: ['producer.id.expiration.ms'] },
        ]),
      )
      brokers.push({
        address: `${host}:${port}`,
        lacks: spoken
          .filter(({ apiKey, apiVersion }) => {
            const range = versions.get(apiKey)
            return range === undefined || apiVersion < range.min || apiVersion > range.max
          })
          .map(({ apiName, apiVersion }) => `${apiName} v${apiVersion}`),
        settings: own.errorCode === 0 ? own.settings : null,
        refusal: own.errorCode === 0 ? undefined : codeName(own.errorCode),
      })
    }
    const described =
      topics.length === 0
        ? []
        : await (await cluster.anyLink()).send(
            describeConfigsRequest(
              topics.map(name => ({ type: TOPIC, name, settings: null }) as const),
            ),
          )
    return {
      brokers,
      topics: new Map(
        described.filter(one => one.errorCode === 0).map(one => [one.name, one.settings]),
      ),
    }
  })
}
