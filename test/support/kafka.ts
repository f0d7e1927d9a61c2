/**
 * A real Kafka broker (KRaft, one node) for tests. Its jars come from Maven once, into `.services/kafka-lib`. Set for
 * tests: compaction and retention within a second, no topics made by themselves, small internal topics.
 */
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

function properties(port: number, controllerPort: number, dataFolder: string): string {
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${dataFolder}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
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
`
}

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
  /** Ends the broker and removes its log. */
  stop(): Promise<void>
  /** Kills the broker as a power cut would; the log stays. */
  kill9(): Promise<void>
  /** Starts a killed broker again on its log and ports. */
  restart(): Promise<void>
  /** Ends the broker in good order; the log stays. */
  shutdown(): Promise<void>
}

/** What KAFKA_BROKERS names: somebody else's to start and to end. */
function outsideKafka(brokers: string): KafkaService {
  const refuse = async (): Promise<void> => {
    throw new Error(
      `the brokers of KAFKA_BROKERS (${brokers}) are not ours to end: unset it for tests that need to`,
    )
  }
  return { brokers, stop: async () => undefined, kill9: refuse, restart: refuse, shutdown: refuse }
}

export interface KafkaOptions {
  /** Where its folder is made; default: this process' run. */
  readonly run?: string
  /** Default: a free one. */
  readonly port?: number
}

/** Starts a broker of one's own, or gives what KAFKA_BROKERS names. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaService> {
  const outside = process.env.KAFKA_BROKERS
  if (outside) return outsideKafka(outside)
  needTool('java', JAVA)
  await fetchJars()
  const folder = serviceFolder(options.run ?? runFolder(), 'kafka')
  const port = options.port ?? (await freePort())
  const config = path.join(folder, 'kafka.properties')
  fs.writeFileSync(config, properties(port, await freePort(), path.join(folder, 'data')))
  const classPath = path.join(libFolder, '*')
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, 'A')
  run('java', [
    '-cp',
    classPath,
    'kafka.tools.StorageTool',
    'format',
    '-t',
    clusterId,
    '-c',
    config,
  ])
  const start = (): Promise<ServiceProcess> =>
    startProcess(
      folder,
      'java',
      ['-Xmx512m', '-XX:+UseSerialGC', '-cp', classPath, 'kafka.Kafka', config],
      'Kafka Server started',
    )
  let broker = await start()
  return {
    brokers: `127.0.0.1:${port}`,
    stop: async () => {
      await endProcess(broker.pid, 'SIGKILL')
      fs.rmSync(folder, { recursive: true, force: true })
    },
    kill9: () => endProcess(broker.pid, 'SIGKILL'),
    shutdown: () => endProcess(broker.pid, 'SIGTERM'),
    restart: async () => {
      await endProcess(broker.pid, 'SIGKILL')
      broker = await start()
    },
  }
}
