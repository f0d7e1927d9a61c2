/** What the command keeps in a replay's folder beside what the engine keeps: the plan as it was shown, and how runs went. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { nodeDisk, REPLAY, replaceFile } from '../../replay/archive/disk.ts'
import type { EarlierRun, Plan } from '../../replay/plan/plan.ts'
import { ReplayFolder } from '../../replay/shadow/folder.ts'

const PLAN = 'plan.json'
const RUNS = 'runs.json'
/** A run that is shorter says nothing of how fast a long one goes. */
const TELLING_MS = 10_000

export async function putPlan(folder: ReplayFolder, plan: Plan): Promise<void> {
  await put(folder, PLAN, plan)
}

/** undefined where there is none. */
export const planOf = (folder: ReplayFolder): Plan | undefined => get<Plan>(folder, PLAN)

type Run = Pick<EarlierRun, 'workers' | 'records' | 'ms'>

export async function addRun(folder: ReplayFolder, run: Run): Promise<void> {
  if (run.ms < TELLING_MS || run.records === 0) return
  await put(folder, RUNS, [...(get<Run[]>(folder, RUNS) ?? []), run])
}

/** Of all replays below the data folder, oldest replay first. */
export function earlierRuns(dataDir: string): EarlierRun[] {
  return ReplayFolder.all(dataDir)
    .map(folder => ({ folder, runs: get<Run[]>(folder, RUNS) ?? [] }))
    .filter(({ folder, runs }) => runs.length > 0 && isReadable(folder))
    .map(one => ({ ...one, spec: one.folder.spec() }))
    .sort((a, b) => a.spec.created - b.spec.created)
    .flatMap(({ folder, spec, runs }) => {
      const records = folder.checkpoint()?.counts.records ?? 0
      const bytesPerRecord = bytesBelow(folder.stateDir) / Math.max(1, records)
      const { topologies, source } = spec
      return runs.map(run => ({
        replay: folder.name,
        topologies,
        source: source.kind,
        ...run,
        bytesPerRecord,
      }))
    })
}

/** Its files are as they were written. */
export function isReadable(folder: ReplayFolder): boolean {
  try {
    folder.spec()
    folder.status()
    folder.checkpoint()
    return true
  } catch {
    return false
  }
}

/** Bytes of all files in a folder, however deep; 0 where it is not there. */
export function bytesBelow(dir: string): number {
  if (!existsSync(dir)) return 0
  let bytes = 0
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true }))
    if (entry.isFile())
      bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0
  return bytes
}

const put = (folder: ReplayFolder, file: string, value: unknown): Promise<void> =>
  replaceFile(nodeDisk(folder.dir, REPLAY), file, Buffer.from(`${JSON.stringify(value)}\n`))

function get<T>({ dir }: ReplayFolder, file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, file), 'utf8')) as T
  } catch {
    // none, or one that was damaged by hand: nothing stands on it
    return undefined
  }
}
