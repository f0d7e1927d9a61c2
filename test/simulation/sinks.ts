/**
 * What stands outside of the log: a view store with versions, a table store that keeps one row a natural key. Each has a
 * server, which outlives all processes, and a thin client in every process.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { TableStore, ViewMark, ViewStore } from '../../streams/sinks.ts'
import type { TableRow, ViewWrite } from '../../streams/topology/outbox.ts'
import { type Network, TRY_AGAIN } from './network.ts'
import type { VirtualProcess } from './process.ts'
import type { Rng } from './rng.ts'

export interface View {
  readonly version: string
  readonly text: string
}

export class ViewServer {
  readonly views = new Map<string, View>()
  /** By task. */
  readonly marks = new Map<string, { readonly version: string; readonly through: string }>()
  /** Off: a planted fault, the last to come wins. */
  comparesVersions = true
  /** When it last lost something. */
  lostAt = 0
  private kept: Pick<ViewServer, 'views' | 'marks'> | undefined
  onWritten: (key: string, view: View, before: View | undefined) => void = () => undefined
  /** `through`: what the mark says that is not as it was left; '' where there is none. */
  onLost: (task: string, through: string) => void = () => undefined

  /** The rule of the Lua scripts: an older version never replaces a newer one; an equal one is written again. */
  write(write: ViewWrite, version: string): void {
    const before = this.views.get(write.key)
    if (before && before.version > version && this.comparesVersions) return
    if (write.op === 'delete') this.views.delete(write.key)
    else {
      const text = write.op === 'json' ? write.body : JSON.stringify(write)
      const view = { version, text }
      this.onWritten(write.key, view, before)
      this.views.set(write.key, view)
    }
  }

  /** The rule of the Lua scripts: false where the mark is not what it was left as; it then stays as it is. */
  move({ task, through, fromVersion, fromThrough }: ViewMark, version: string): boolean {
    const mark = this.marks.get(task)
    if (mark && mark.version > version) return true
    if ((mark?.version ?? '') < fromVersion || (mark?.through ?? '') < fromThrough) {
      this.onLost(task, mark?.through ?? '')
      return false
    }
    this.marks.set(task, { version, through })
    return true
  }

  empty(nowMs: number): void {
    this.views.clear()
    this.marks.clear()
    this.lostAt = nowMs
  }

  copy(): void {
    this.kept = { views: new Map(this.views), marks: new Map(this.marks) }
  }

  /** It holds what it held at the last copy, and nothing else. */
  goBack(nowMs: number): void {
    const { kept } = this
    if (kept === undefined) return
    this.empty(nowMs)
    for (const [key, view] of kept.views) this.views.set(key, view)
    for (const [task, mark] of kept.marks) this.marks.set(task, mark)
  }
}

export class TableServer {
  /** By natural key. */
  readonly rows = new Map<string, string>()
  inserts = 0
  onRow: (row: TableRow) => void = () => undefined

  insert(rows: readonly TableRow[]): void {
    this.inserts++
    for (const row of rows) {
      this.onRow(row)
      this.rows.set(String(row.id), JSON.stringify(row))
    }
  }
}

export function viewClient(
  server: ViewServer,
  process: VirtualProcess,
  network: Network,
  rng: Rng,
): ViewStore {
  return {
    name: 'virtual',
    write: async (writes, version, mark) => {
      const stands = await network.persist<boolean>(process, 'views', 'views', (answer, refuse) => {
        // a connection that breaks in the middle: some are written, the whole comes again
        const broken = rng.chance(network.faults.lost / 2)
        const taken = broken ? writes.slice(0, rng.int(0, writes.length)) : writes
        for (const write of taken) server.write(write, version)
        if (broken) refuse(TRY_AGAIN)
        else answer(mark === undefined || server.move(mark, version))
      })
      if (!stands) mark?.lost()
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
}

export function tableClient(
  server: TableServer,
  process: VirtualProcess,
  network: Network,
  rng: Rng,
): TableStore {
  return {
    name: 'virtual',
    insert: async (_table, rows) => {
      // rows are gathered for a while before they are sent
      if (rng.chance(0.5)) await process.clock.sleep(rng.int(1, 300))
      await network.persist<void>(process, 'tables', 'tables', (answer, refuse) => {
        const good = rows.filter(row => row.refused !== true)
        server.insert(good)
        if (good.length === rows.length) answer(undefined)
        else refuse(new FreshetError('ROW_REFUSED', `${rows.length - good.length} rows refused`))
      })
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
}
