/**
 * `npm run quality [-- closed-loop ... | bound ...]`: without arguments, the prequential figures of docs/quality.md on MovieTweetings 100K,
 * with one partition and with four. Arguments after the name go on: `npm run quality -- prequential --score-every 10`.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const log = here('../../../shared/data/movietweetings-100k/ratings.dat')

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
  if (!existsSync(log)) {
    console.error(
      `there is no ${log}: get the MovieTweetings 100K snapshot (github.com/sidooms/MovieTweetings, snapshots/100K) and put ratings.dat and movies.dat there`,
    )
    process.exit(1)
  }
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

const [what = 'prequential', ...more] = process.argv.slice(2)
if (what === 'prequential') prequential(more)
else if (what === 'closed-loop' || what === 'bound')
  spawnSync(process.execPath, ['--import', 'tsx', here(`${what}.ts`), ...more], {
    stdio: 'inherit',
  })
else {
  console.error(
    `quality got ${JSON.stringify(what)}; it takes prequential (default), closed-loop or bound, then their own options`,
  )
  process.exit(2)
}
