/**
 * The same job on Kafka Streams, beside ours on the same broker in the same run. The program is not part of freshet:
 * FRESHET_PEERS names the folder that has it (default ../shared/peers); it expects its broker at 127.0.0.1:29092.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { servicesRoot } from '../support/processes.ts'

export const PEER_PORT = 29_092

const source = join(
  process.env.FRESHET_PEERS ?? resolve(import.meta.dirname, '../../../shared/peers'),
  'kafka-streams',
)
const folder = join(servicesRoot, 'peers', 'kafka-streams')

export interface PeerResult {
  readonly steadyCpuPerMillion: number
  readonly cpuPerMillion: number
}

/** undefined: the peer's program is not on this machine. */
export function preparePeer(events: number): ((args: readonly string[]) => PeerResult) | undefined {
  if (!existsSync(source)) return undefined
  if (!existsSync(join(folder, 'out'))) {
    cpSync(source, folder, { recursive: true })
    execFileSync('mvn', ['-q', 'dependency:copy-dependencies', '-DoutputDirectory=lib'], {
      cwd: folder,
    })
    execFileSync('bash', ['build.sh'], { cwd: folder })
  }
  execFileSync('java', ['-cp', 'out:lib/*', `-Dn=${events}`, 'Gen'], {
    cwd: folder,
    stdio: 'ignore',
  })
  return args => {
    const output = execFileSync(
      'bash',
      ['run.sh', `-Dn=${events}`, '-Dfmt=avro', '-Dlimit=120', ...args],
      {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, W: '0' },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    const figures = [...output.matchAll(/cpu\/M ([\d.]+)/g)].map(match => Number(match[1]))
    if (figures.length < 2) throw new Error(`the peer printed no figures: ${output}`)
    return { cpuPerMillion: figures[0], steadyCpuPerMillion: figures[1] }
  }
}
