/**
 * A ClickHouse HTTP server for tests: the HTTP interface as far as @clickhouse/client uses it, in front of the real engine
 * (chdb). Understands `?query=` with data in the body, a query in the body, `database`, `default_format`, `param_*`,
 * `/ping`, and gives exceptions as a server does (status, `X-ClickHouse-Exception-Code`, "Code: n. DB::Exception: ...").
 * Other settings are ignored. It says nothing about a server's clustering, users or quotas.
 *
 *   npx tsx test/support/clickhouse-http.ts --port 8123 --dir /tmp/clickhouse
 *
 * prints one line of JSON, {"url": ...}, once it listens.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { Session } from 'chdb'

export interface ClickHouseHttp {
  readonly url: string
  close(): Promise<void>
}

/** Serves `directory` on 127.0.0.1; port 0: any free one. One a process (chdb). */
export async function startClickHouseHttp(spec: {
  directory: string
  port?: number
}): Promise<ClickHouseHttp> {
  const session = new Session(spec.directory)
  let last: Promise<unknown> = Promise.resolve()
  // `USE` belongs to the session, so requests go one after the other
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work, work)
    last = result
    return result
  }
  const server = createServer((request, response) => {
    body(request)
      .then(data => inTurn(() => answer(session, request, data, response)))
      .catch(error => refuse(response, error))
  })
  server.keepAliveTimeout = 10_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(spec.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      await closeServer(server)
      session.close()
    },
  }
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
}

async function answer(
  session: Session,
  request: IncomingMessage,
  data: Buffer,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://clickhouse')
  if (url.pathname === '/ping') {
    response.end('Ok.\n')
    return
  }
  const given = url.searchParams
  const database = given.get('database') ?? 'default'
  await session.queryAsync(`USE \`${database.replaceAll('`', '')}\``)
  const inUrl = given.get('query')
  const insert =
    inUrl && /^\s*insert\s+into\s+([\w.`]+)\s*(\([^)]*\))?\s+format\s+(\w+)\s*$/i.exec(inUrl)
  let answered: string | Uint8Array = ''
  if (insert && data.length > 0) {
    // the settings that change what is stored are honoured
    const settings = [...given]
      .filter(([name]) =>
        /^(input_format_|max_partitions_per_insert_block|precise_float_parsing)/.test(name),
      )
      .map(([name, value]) => `${name}=${Number(value)}`)
    const clause = settings.length > 0 ? ` SETTINGS ${settings.join(', ')}` : ''
    const head = `INSERT INTO ${insert[1]} ${insert[2] ?? ''}${clause} FORMAT ${insert[3]} `
    await session.queryAsync(head + data.toString('utf8'))
  } else {
    const sql = `${inUrl ?? ''}${inUrl && data.length > 0 ? '\n' : ''}${data.toString('utf8')}`
    const format = given.get('default_format') ?? 'TabSeparated'
    const parameters = Object.fromEntries(
      [...given]
        .filter(([name]) => name.startsWith('param_'))
        .map(([name, value]) => [name.slice('param_'.length), value]),
    )
    const result =
      Object.keys(parameters).length > 0
        ? await session.queryBindAsync(sql, parameters, { format })
        : await session.queryAsync(sql, { format })
    answered = /\bformat\s+parquet\s*$/i.test(sql) ? result.bytes() : result.text()
  }
  response.setHeader('X-ClickHouse-Summary', '{}')
  response.end(answered)
}

function refuse(response: ServerResponse, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  const code = /Code: (\d+)/.exec(message)?.[1] ?? '1001'
  response.statusCode = code === '60' || code === '81' ? 404 : 500
  response.setHeader('X-ClickHouse-Exception-Code', code)
  response.end(
    message.startsWith('Code:')
      ? message
      : `Code: ${code}. DB::Exception: ${message} (STD_EXCEPTION)`,
  )
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise(resolve => server.close(resolve))
  server.closeAllConnections()
  await closed
}

export interface ClickHouseProcess {
  readonly url: string
  readonly process: ChildProcess
  /** Ends it with `signal` and waits until it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

/** The same server in a process of its own: a crash of it, or a second engine beside the test's own, is then possible. */
export async function spawnClickHouseHttp(spec: {
  directory: string
  port?: number
}): Promise<ClickHouseProcess> {
  const child = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      fileURLToPath(import.meta.url),
      '--port',
      String(spec.port ?? 0),
      '--dir',
      spec.directory,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', chunk => {
      text += chunk
      if (text.includes('\n')) resolve(JSON.parse(text.slice(0, text.indexOf('\n'))).url)
    })
    gone.then(() => reject(new Error('the ClickHouse test server ended before it listened')))
  })
  return {
    url,
    process: child,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      await gone
    },
  }
}

async function main(): Promise<void> {
  const given = (name: string, otherwise: string): string => {
    const at = process.argv.indexOf(name)
    return at < 0 ? otherwise : process.argv[at + 1]
  }
  const server = await startClickHouseHttp({
    directory: given('--dir', './clickhouse'),
    port: Number(given('--port', '8123')),
  })
  process.stdout.write(`${JSON.stringify({ url: server.url })}\n`)
  const end = () => server.close().then(() => process.exit(0))
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
