/**
 * What a user takes in memory: `npx tsx --expose-gc topologies/user/memory.bench.ts [users]`. Each user has played 20
 * distinct items to their end, one every 30 minutes, and the task was restored from its changelog; the heap of
 * the process after a full collection, less that before the restore, and what the directory takes, over the number of users:
 * once with every user packed, as all but 32,768 of a process are, and once with every user unpacked. Counted are the table
 * of users by their id (directory.ts), sessions, plays, positives, exclusions, doubles and cleaning; not counted are the item
 * table, pending labels and lists, which are stages of their own.
 */
import { DAY, impression, MINUTE, START, UserTask, watch } from '../../test/support/user-task.ts'

const users = Number(process.argv[2] ?? 5000)
const items = 20_000
const collect = (globalThis as { gc?: () => void }).gc
if (!collect) throw new Error('run with --expose-gc')

function used(): number {
  collect?.()
  collect?.()
  return process.memoryUsage().heapUsed
}

/** One heartbeat a play, or an impression and four heartbeats. */
function play(task: UserTask, user: number, k: number, ts: number, many: boolean): void {
  const id = `user-${String(user).padStart(7, '0')}`
  const item = `item-${(user * 7 + k * 131) % items}`
  const playId = `${user}-${k}`
  const end = { endReason: 'finished', durationMs: 600_000 }
  if (!many) {
    task.send(watch(id, item, ts, playId, 600_000, { ...end, seq: 1 }))
    return
  }
  task.send(impression(id, item, ts, { requestId: `r${user}-${k}` }))
  for (let seq = 1; seq <= 4; seq++)
    task.send(
      watch(id, item, ts + seq * 150_000, playId, seq * 150_000, {
        seq,
        durationMs: 600_000,
        ...(seq === 4 ? end : {}),
      }),
    )
}

function measure(name: string, many: boolean, later: boolean): void {
  const task = new UserTask({ unpackedUsers: 0 })
  for (let k = 0; k < 20; k++) {
    for (let user = 0; user < users; user++)
      play(task, user, k, START + k * 30 * MINUTE + user, many)
    task.commit()
  }
  if (later)
    for (let k = 0; k < 2; k++) {
      task.send(impression('someone-else', 'item-1', START + (2 + k) * DAY))
      task.tick()
      task.commit()
    }
  task.forgetState()
  // the restored task has an item table of its own, this one goes
  for (let item = 0; item < items; item++) task.items.index(`item-${item}`)
  const before = used()
  task.restart()
  // users of the last commit are written to Redis again
  task.commit()
  task.core.delivered()
  task.forgetOutput()
  const packed = (used() - before + task.users.directory.bytes) / users
  const { packedBytes } = task.users.memory
  for (const user of task.users.values()) user.session
  const unpacked = (used() - before + task.users.directory.bytes) / users
  console.log(
    `${name}: ${packed.toFixed(0)} B a user, of which ${(packedBytes / users).toFixed(0)} B in the arena; unpacked ${unpacked.toFixed(0)} B; ${task.batches.length} commits`,
  )
}

measure('20 plays of one heartbeat within a day', false, false)
measure('20 plays of an impression and four heartbeats within a day', true, false)
measure('the first, two days later', false, true)
