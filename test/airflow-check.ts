/**
 * `npm run airflow`: docs/examples/airflow/freshet_backfill.py on a real Airflow (PyPI, in a virtual environment outside the
 * checkout: AIRFLOW_VENV, default /tmp/airflow-venv) beside real Kafka and Redis, ClickHouse's engine and a live worker. Runs
 * the DAG without approval, with it, and with a comparison that does not hold, and prints what became of each task.
 */
import { type ExecFileException, execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startClickHouseHttp } from './support/clickhouse-http.ts'
import { startKafka } from './support/kafka.ts'
import { runFolder, sweepRun } from './support/processes.ts'
import { startRegistry } from './support/registry.ts'
import { startRedis } from './support/services-redis.ts'
import { pause } from './support/until.ts'

/** What 3.0.6 was released with: newer ones of these it does not take, and says so only while it runs. */
const AIRFLOW = [
  'apache-airflow==3.0.6',
  'fastapi==0.116.1',
  'starlette==0.47.3',
  'cadwyn==5.4.4',
  'pydantic==2.11.7',
]
const EVENTS = 60_000
const root = resolve(import.meta.dirname, '..')
const venv = process.env.AIRFLOW_VENV ?? '/tmp/airflow-venv'
const place = mkdtempSync(join(tmpdir(), 'freshet-airflow-'))
const say = (text: string): void => void process.stdout.write(`${text}\n`)

function install(): void {
  if (existsSync(join(venv, 'bin/airflow'))) return
  say(`installing ${AIRFLOW.join(' ')} into ${venv} ...`)
  execFileSync('python3', ['-m', 'venv', venv])
  execFileSync(join(venv, 'bin/pip'), ['install', '--quiet', ...AIRFLOW], { stdio: 'inherit' })
}

const program = ['--import', import.meta.resolve('tsx'), join(root, 'bin/main.ts')]

interface Done {
  readonly code: number
  readonly text: string
}

/** Registry and ClickHouse are served by this process: nothing may hold it up. */
function call(
  environment: NodeJS.ProcessEnv,
  file: string,
  args: readonly string[],
): Promise<Done> {
  return new Promise(done => {
    const limits = { env: environment, cwd: root, maxBuffer: 1 << 28 }
    execFile(file, args, limits, (error: ExecFileException | null, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code ?? 1), text: `${stdout}\n${stderr}` }),
    )
  })
}

async function freshet(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<void> {
  const { code, text } = await call(environment, process.execPath, [...program, ...args])
  if (code !== 0) throw new Error(`freshet ${args.join(' ')} ended with ${code}: ${text}`)
}

interface Outcome {
  readonly code: number
  /** By task. */
  readonly states: Readonly<Record<string, string>>
  /** Sentences of tasks that failed or were skipped. */
  readonly reasons: readonly string[]
}

/** Of the newest run, by task, in the order in which they ended. */
const STATES = `
import json, os, sqlite3
db = sqlite3.connect(os.environ['AIRFLOW_HOME'] + '/airflow.db')
rows = db.execute('''SELECT task_id, state FROM task_instance WHERE run_id = (SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1) ORDER BY end_date''')
print(json.dumps(dict(rows.fetchall())))
`

async function runDag(environment: NodeJS.ProcessEnv, params: object): Promise<Outcome> {
  const args = ['dags', 'test', 'freshet_backfill', '--conf', JSON.stringify(params)]
  const started = Date.now()
  const { code, text } = await call(environment, join(venv, 'bin/airflow'), args)
  const { text: states } = await call(environment, join(venv, 'bin/python'), ['-c', STATES])
  const outcome = {
    code,
    states: JSON.parse(states),
    // a long one is broken over lines
    reasons: [...text.matchAll(/^Airflow\w*Exception: (.*\n.*)/gm)].map(([, why]) =>
      why.replace('\n', ''),
    ),
  }
  say(`$ airflow ${args.join(' ')}`)
  say(`${JSON.stringify(outcome, null, 1)}\n${Math.round((Date.now() - started) / 1000)} s`)
  if (process.env.AIRFLOW_VERBOSE) say(text)
  return outcome
}

async function main(): Promise<void> {
  install()
  const run = runFolder()
  mkdirSync(run, { recursive: true })
  const [kafka, redis, registry, clickhouse] = await Promise.all([
    startKafka({ run }),
    startRedis({ run }),
    startRegistry(),
    startClickHouseHttp({ directory: join(place, 'clickhouse') }),
  ])
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    FRESHET_KAFKA_BROKERS: kafka.brokers,
    FRESHET_REDIS_URL: redis.url,
    FRESHET_SCHEMA_REGISTRY_URL: registry.url,
    FRESHET_CLICKHOUSE_URL: clickhouse.url,
    FRESHET_DATA_DIR: join(place, 'data'),
    FRESHET_TOPOLOGIES: 'sessions,labels,popularity,drift',
    FRESHET_TOPICS_PARTITIONS: '2',
    FRESHET_LOG_LEVEL: 'warn',
    FRESHET_RETRIES: '0',
    FRESHET_COMMAND: [process.execPath, ...program].join(' '),
    NODE_PATH: join(root, 'node_modules'),
    AIRFLOW_HOME: join(place, 'airflow'),
    AIRFLOW__CORE__DAGS_FOLDER: join(root, 'docs/examples/airflow'),
    AIRFLOW__CORE__LOAD_EXAMPLES: 'False',
    PYTHONWARNINGS: 'ignore',
  }
  const live = spawn(process.execPath, [...program, 'run', '--http.port', '0'], {
    env: environment,
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    await freshet(environment, 'topics', 'create')
    await freshet(environment, 'simulate', '--events', String(EVENTS), '--rate', '0')
    const to = new Date()
    // what live has taken in by now is compared
    await pause(15_000)
    await call(environment, join(venv, 'bin/airflow'), ['db', 'migrate'])
    say(AIRFLOW.join(' '))
    const params = {
      name: 'try',
      archive: join(place, 'archive'),
      tables: 'drift,histograms',
      backfill_from: new Date(to.getTime() - 3_600_000).toISOString(),
      backfill_to: to.toISOString(),
      backfill_flags: ['--open'],
    }
    await runDag(environment, params)
    await runDag(environment, { ...params, approved: ['cutover', 'backfill'] })
    await runDag(environment, { ...params, name: 'other', set: ['session.gap=10s'] })
  } finally {
    live.kill('SIGTERM')
    await new Promise(done => live.once('exit', done))
    await registry.close()
    await clickhouse.close()
    await sweepRun(run)
    rmSync(place, { recursive: true, force: true })
  }
}

await main()
