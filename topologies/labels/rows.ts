/** How pending impressions stand on the changelog: one row a request, one row an impression. */
import type { CandidateSource } from '../../schemas/index.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { Store } from '../../streams/topology/store.ts'
import type { ItemTable } from '../items/table.ts'
import { readHash, writeHash } from '../user/codec.ts'
import { USER_STORES } from '../user/store-ids.ts'
import type { UserTable } from '../user/users.ts'
import { LabelEntry, LabelRequest, type RequestFields } from './pending.ts'

/** Numbers on the log are places in this list: append, never reorder. */
const SOURCES: readonly CandidateSource[] = [
  'other',
  'popularity',
  'covisit',
  'knn',
  'embedding',
  'content',
  'explore',
]

const POSITIVE = 1
const ENDED = 2
const TOLD = 4
const EXPLORE = 8
const PROPENSITY = 16
const PREDICTION = 32
const PLAYED = 64
/** Marks and quantile stand at the end; rows of before they were kept have none. */
const MARKED = 128

export interface LabelStores {
  readonly requests: Store<LabelRequest>
  readonly entries: Store<LabelEntry>
  /** Gives each user its pending impressions back, oldest first, and all of them to `found`. */
  restored(found: (entry: LabelEntry) => void): void
}

interface RequestRow extends RequestFields {
  readonly userId: string
  readonly openedAt: number
}

type MakeEntry = (request: LabelRequest) => LabelEntry

export function createLabelStores(users: UserTable, items: ItemTable): LabelStores {
  const requestRows = new Map<string, RequestRow>()
  const entryRows = new Map<string, { request: string; make: MakeEntry }>()

  const requests = new Store<LabelRequest>({
    id: USER_STORES.labelRequests,
    name: 'label-requests',
    write: 'exact',
    writeKey: (row, w) => writeRequestKey(row, w),
    writeValue(row, w) {
      w.string(row.policy).string(row.model).string(row.surface).string(row.cohort)
      w.string(row.listVersion)
      const names = Object.keys(row.experiments)
      w.uint(names.length)
      for (const name of names) w.string(name).string(row.experiments[name])
    },
    restore(key, value) {
      const { name, userId, requestId, openedAt } = readRequestKey(key)
      if (value === null) requestRows.delete(name)
      else
        requestRows.set(name, {
          userId,
          requestId,
          openedAt,
          policy: value.string(),
          model: value.string(),
          surface: value.string(),
          cohort: value.string(),
          listVersion: value.string(),
          experiments: readMap(value),
        })
    },
  })

  const entries = new Store<LabelEntry>({
    id: USER_STORES.labelEntries,
    name: 'label-entries',
    write: 'exact',
    writeKey(row, w) {
      writeRequestKey(row.request, w)
      w.string(items.idOf(row.item)).uint(row.shownAt)
    },
    writeValue(row, w) {
      const played = row.play !== -1
      w.u8(
        (row.positive ? POSITIVE : 0) |
          (row.ended ? ENDED : 0) |
          (row.told ? TOLD : 0) |
          (row.explore ? EXPLORE : 0) |
          (row.propensity === null ? 0 : PROPENSITY) |
          (row.prediction === null ? 0 : PREDICTION) |
          (played ? PLAYED : 0) |
          (row.keptMarks === 0 && row.quantileParts === 0 ? 0 : MARKED),
      )
      w.u8(row.state)
        .uint(row.position)
        .u8(Math.max(0, SOURCES.indexOf(row.source)))
      w.uint(row.revision)
      if (row.propensity !== null) w.f64(row.propensity)
      if (row.prediction !== null) w.f64(row.prediction)
      if (played) {
        writeHash(w, row.play)
        w.uint(row.watchedMs).uint(row.durationMs).uint(row.heardAt)
      }
      if (row.keptMarks !== 0 || row.quantileParts !== 0)
        w.uint(row.keptMarks).uint(row.quantileParts)
    },
    restore(key, value) {
      const request = readRequestKey(key).name
      const itemId = key.string()
      const shownAt = key.uint()
      const name = `${request}/${itemId}/${shownAt}`
      if (value === null) entryRows.delete(name)
      else entryRows.set(name, { request, make: readEntry(value, items.index(itemId), shownAt) })
    },
  })

  return {
    requests,
    entries,
    restored(found) {
      const made = new Map<string, LabelRequest>()
      const all: LabelEntry[] = []
      for (const { request, make } of entryRows.values()) {
        const row = requestRows.get(request)
        const user = row && users.get(row.userId)
        if (!row || !user) continue
        let parent = made.get(request)
        if (!parent) {
          parent = new LabelRequest(user, row.openedAt, row)
          made.set(request, parent)
        }
        parent.waiting++
        const entry = make(parent)
        all.push(entry)
      }
      all.sort((a, b) => a.shownAt - b.shownAt)
      for (const entry of all) {
        const { user } = entry.request
        user.pendingLabels ??= []
        user.pendingLabels.push(entry)
        found(entry)
      }
      requestRows.clear()
      entryRows.clear()
    },
  }
}

function readEntry(value: ByteReader, item: number, shownAt: number): MakeEntry {
  const flags = value.u8()
  const state = value.u8()
  const position = value.uint()
  const source = SOURCES[value.u8()] ?? 'other'
  const revision = value.uint()
  const propensity = flags & PROPENSITY ? value.f64() : null
  const prediction = flags & PREDICTION ? value.f64() : null
  const played = (flags & PLAYED) !== 0
  const play = played ? readHash(value) : -1
  const watchedMs = played ? value.uint() : 0
  const durationMs = played ? value.uint() : 0
  const heardAt = played ? value.uint() : 0
  const marked = (flags & MARKED) !== 0
  const marks = marked ? value.uint() : 0
  const quantileParts = marked ? value.uint() : 0
  return request => {
    const explore = (flags & EXPLORE) !== 0
    const entry = new LabelEntry(request, item, shownAt, {
      position,
      propensity,
      prediction,
      explore,
      source,
      timesShown: 0,
    })
    entry.marks = marks
    entry.quantileParts = quantileParts
    entry.state = state
    entry.revision = revision
    entry.positive = (flags & POSITIVE) !== 0
    entry.ended = (flags & ENDED) !== 0
    entry.told = (flags & TOLD) !== 0
    entry.play = play
    entry.watchedMs = watchedMs
    entry.durationMs = durationMs
    if (played && heardAt > 0) entry.heardAt = heardAt
    return entry
  }
}

function writeRequestKey(row: LabelRequest, w: ByteWriter): void {
  w.string(row.user.id).string(row.requestId).uint(row.openedAt)
}

function readRequestKey(key: ByteReader): {
  name: string
  userId: string
  requestId: string
  openedAt: number
} {
  const userId = key.string()
  const requestId = key.string()
  const openedAt = key.uint()
  return { name: JSON.stringify([userId, requestId, openedAt]), userId, requestId, openedAt }
}

function readMap(value: ByteReader): Record<string, string> {
  const map: Record<string, string> = {}
  for (let n = value.uint(); n > 0; n--) {
    const name = value.string()
    map[name] = value.string()
  }
  return map
}
