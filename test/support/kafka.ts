/**
 * A real Kafka broker (KRaft, one node) for tests. Its jars come from Maven once, into `.services/kafka-lib`. Set for
 * tests: compaction and retention within a second, no topics made by themselves, small internal topics.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import {
  endProcess,
  freePort,
  needTool,
  run,
  runFolder,
  type ServiceProcess,
  serviceFolder,
  servicesRoot,
  startProcess,
  withLock,
} from './processes.ts'
import { until } from './until.ts'

const KAFKA_VERSION = '4.4.0'
const JAVA =
  'install a Java 17 or newer (Debian: apt-get install default-jre-headless), or name running brokers in KAFKA_BROKERS'
const MAVEN =
  "install Maven (Debian: apt-get install maven), which fetches Kafka's jars, or name running brokers in KAFKA_BROKERS"

const libFolder = path.join(servicesRoot, 'kafka-lib')

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>freshet.test</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

type Roles = 'broker,controller' | 'broker' | 'controller'

interface Node {
  /** The first is the controller. */
  readonly id: number
  readonly roles: Roles
  readonly port: number
  /** The port that clients are sent to: a proxy's, or its own. */
  readonly advertised: number
  readonly folder: string
}

function properties(
  node: Node,
  controllerPort: number,
  brokers: number,
  config: Readonly<Record<string, string>>,
): string {
  const listeners = [
    isBroker(node) && `PLAINTEXT://127.0.0.1:${node.port}`,
    node.roles !== 'broker' && `CONTROLLER://127.0.0.1:${controllerPort}`,
  ]
  const advertised = `advertised.listeners=PLAINTEXT://127.0.0.1:${node.advertised}`
  const replicas = Math.min(3, brokers)
  return `process.roles=${node.roles}
node.id=${node.id}
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=${listeners.filter(listener => listener !== false).join(',')}
${isBroker(node) ? advertised : ''}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${path.join(node.folder, 'data')}
auto.create.topics.enable=false
offsets.topic.replication.factor=${replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=${replicas}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2500
broker.heartbeat.interval.ms=500
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=500
log.cleaner.min.compaction.lag.ms=0
log.cleaner.dedupe.buffer.size=33554432
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
${Object.entries(config)
  .map(([name, value]) => `${name}=${value}`)
  .join('\n')}
`
}

const isBroker = ({ roles }: Node): boolean => roles !== 'controller'

/** Fetches the jars where they are missing; minutes on a slow line, once. */
async function fetchJars(): Promise<void> {
  const done = path.join(libFolder, `kafka_2.13-${KAFKA_VERSION}.jar`)
  if (fs.existsSync(done)) return
  await withLock(path.join(servicesRoot, 'kafka-lib.lock'), async () => {
    if (fs.existsSync(done)) return
    needTool('mvn', MAVEN)
    const partial = `${libFolder}.partial`
    fs.mkdirSync(partial, { recursive: true })
    const pomFile = path.join(partial, 'pom.xml')
    fs.writeFileSync(pomFile, pom)
    run('mvn', [
      '-q',
      'dependency:copy-dependencies',
      '-f',
      pomFile,
      `-DoutputDirectory=${partial}`,
      '-DincludeScope=runtime',
    ])
    fs.rmSync(libFolder, { recursive: true, force: true })
    fs.renameSync(partial, libFolder)
  })
}

export interface KafkaService {
  /** host:port, several with commas between them. */
  readonly brokers: string
  /** Ends the brokers and removes their logs. */
  stop(): Promise<void>
  /** Kills the brokers, or the one at that host:port, as a power cut would; the logs stay. */
  kill9(broker?: string): Promise<void>
  /** Starts killed brokers again on their logs and ports. */
  restart(): Promise<void>
  /** SIGSTOP, once it holds: they keep their connections, accept new ones and never answer. */
  freeze(): Promise<void>
  /** SIGCONT: they go on. */
  thaw(): void
}

/** What KAFKA_BROKERS names: somebody else's to start and to end. */
function outsideKafka(brokers: string): KafkaService {
  const refuse = async (): Promise<void> => {
    throw new Error(
      `the brokers of KAFKA_BROKERS (${brokers}) are not ours to end: unset it for tests that need to`,
    )
  }
  return {
    brokers,
    stop: async () => undefined,
    kill9: refuse,
    restart: refuse,
    freeze: refuse,
    thaw: () => undefined,
  }
}

export interface KafkaOptions {
  /** Where its folders are made; default: this process' run. */
  readonly run?: string
  /** Of the first broker; default: a free one. */
  readonly port?: number
  /** Brokers; the first is the only controller. Default 1. */
  readonly nodes?: number
  /** The controller is a node of its own, which no kill meets: any of the brokers may die and the others elect. */
  readonly controllerApart?: boolean
  /** Broker settings besides, or instead of, the tests' own. */
  readonly config?: Readonly<Record<string, string>>
  /** The port that the first tells its clients to come to: that of a proxy before it. Default: its own. */
  readonly advertisedPort?: number
}

/** Starts brokers of one's own, or gives what KAFKA_BROKERS names. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaService> {
  const outside = process.env.KAFKA_BROKERS
  if (outside) return outsideKafka(outside)
  needTool('java', JAVA)
  await fetchJars()
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  const controllerPort = await freePort()
  const nodes: Node[] = []
  const brokers = options.nodes ?? 1
  const roles: Roles[] = Array.from({ length: brokers }, () => 'broker')
  if (options.controllerApart) roles.unshift('controller')
  else roles[0] = 'broker,controller'
  for (const role of roles) {
    const id = nodes.length + 1
    const folder = serviceFolder(options.run ?? runFolder(), 'kafka')
    const isFirst = role !== 'controller' && !nodes.some(isBroker)
    const port = (isFirst ? options.port : undefined) ?? (await freePort())
    const advertised = (isFirst ? options.advertisedPort : undefined) ?? port
    nodes.push({ id, roles: role, port, advertised, folder })
  }
  for (const node of nodes)
    format(node, properties(node, controllerPort, brokers, options.config ?? {}), clusterId)
  const running = new Map<Node, ServiceProcess>()
  const startMissing = async (): Promise<void> => {
    const missing = nodes.filter(node => !running.has(node))
    await Promise.all(missing.map(async node => running.set(node, await startNode(node))))
  }
  const kill9 = async (broker?: string): Promise<void> => {
    for (const [node, { pid }] of running) {
      if (!isBroker(node) || (broker !== undefined && broker !== addressOf(node))) continue
      await endProcess(pid, 'SIGKILL')
      running.delete(node)
    }
  }
  await startMissing()
  return {
    brokers: nodes.filter(isBroker).map(addressOf).join(','),
    kill9,
    restart: startMissing,
    freeze: async () => {
      for (const { pid } of running.values()) {
        process.kill(pid, 'SIGSTOP')
        await until(() => isStopped(pid))
      }
    },
    thaw: () => {
      for (const { pid } of running.values()) process.kill(pid, 'SIGCONT')
    },
    stop: async () => {
      for (const { pid } of running.values()) await endProcess(pid, 'SIGKILL')
      for (const node of nodes) fs.rmSync(node.folder, { recursive: true, force: true })
    },
  }
}

/** On a busy machine threads take in and append records for a while after the signal was sent. */
function isStopped(pid: number): boolean {
  const threads = execFileSync('ps', ['-L', '-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
  return threads
    .trim()
    .split('\n')
    .every(state => state.startsWith('T'))
}

const addressOf = (node: Node): string => `127.0.0.1:${node.port}`
const configOf = (node: Node): string => path.join(node.folder, 'kafka.properties')
const classPath = path.join(libFolder, '*')

function format(node: Node, config: string, clusterId: string): void {
  fs.writeFileSync(configOf(node), config)
  const tool = ['-cp', classPath, 'kafka.tools.StorageTool', 'format']
  run('java', [...tool, '-t', clusterId, '-c', configOf(node)])
}

const startNode = (node: Node): Promise<ServiceProcess> =>
  startProcess(
    node.folder,
    'java',
    ['-Xmx512m', '-XX:+UseSerialGC', '-cp', classPath, 'kafka.Kafka', configOf(node)],
    'Kafka Server started',
  )
