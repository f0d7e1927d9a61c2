/**
 * `npm run quality [-- NAME ...]`, NAME one of the programs below: without arguments, the prequential figures of
 * docs/quality.md on MovieTweetings 100K, with one partition and with four. Arguments after the name go on: `npm run quality
 * -- prequential --score-every 10`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { howToGetIt, realLog } from '../e2e/rating-log.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

function runs(program: string, args: readonly string[]): string {
  const { status, stdout } = spawnSync(process.execPath, ['--import', 'tsx', program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  if (status !== 0) process.exit(status ?? 1)
  return stdout
}

interface Figures {
  readonly n: number
  readonly 'recall@10': number
  readonly 'ndcg@10': number
}

function prequential(more: readonly string[]): void {
  if (realLog === undefined) {
    console.error(howToGetIt)
    process.exit(1)
  }
  const log = join(realLog, 'ratings.dat')
  for (const partitions of ['1', '4']) {
    const args = ['evaluate', 'prequential', log, '--format', 'movietweetings', '--json']
    const out = runs(here('../../bin/main.ts'), [...args, '--partitions', partitions, ...more])
    const { scorers } = JSON.parse(out) as {
      scorers: Record<string, { all: Figures; secondHalf: Figures }>
    }
    const of = (f: Figures): string => `${f['recall@10'].toFixed(4)} / ${f['ndcg@10'].toFixed(4)}`
    console.log(`\n${partitions} partition(s): recall@10 / NDCG@10`)
    for (const [name, { all, secondHalf }] of Object.entries(scorers))
      console.log(
        `${name.padEnd(20)} all (${all.n}) ${of(all)}   last half (${secondHalf.n}) ${of(secondHalf)}`,
      )
  }
}

/** Programs of this folder, by the names of their files. */
const programs = [
  'closed-loop',
  'bound',
  'drift',
  'drift-alarms',
  'coverage',
  'sequential',
  'intervals',
].filter(name => existsSync(here(`${name}.ts`)))
const [what = 'prequential', ...more] = process.argv.slice(2)
if (what === 'prequential') prequential(more)
else if (programs.includes(what))
  spawnSync(process.execPath, ['--import', 'tsx', here(`${what}.ts`), ...more], {
    stdio: 'inherit',
  })
else {
  console.error(
    `quality got ${JSON.stringify(what)}; it takes prequential (default), ${programs.join(', ')}, then their own options`,
  )
  process.exit(2)
}
