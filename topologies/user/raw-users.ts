/**
 * Users as a restore leaves them: the bytes of their rows as they came off the log, side by side, without an object or a
 * text for any of them. Who is asked for is put together from its rows then (`restoreUser`).
 *
 *  - R1 Rows come in log order, several times for a key that compaction has not met yet: a newer one takes the older one's
 *       place, a tombstone removes it.
 *  - R2 Nothing of a fetched batch is held on to: bytes are copied.
 *
 * A user's block: id, RAW, the handle of the first further row, the value of the user's own row with numbers for items
 * (user-row.ts; empty: there is none yet).
 * A further row's block: the next one's handle, store, length and bytes of the key behind the id, value.
 */
import { ByteReader, type ByteWriter } from '../../streams/serde/bytes.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserDirectory } from './directory.ts'
import { USER_STORES } from './store-ids.ts'
import { checkLayout, NAMED_BYTES, withNumbers } from './user-row.ts'

/** What stands behind the id: rows off the log, or packUser's bytes. */
export const RAW = 0
export const PACKED = 1

/** A further row of a user. */
export interface RawRow {
  readonly store: number
  readonly key: ByteReader
  readonly value: ByteReader
}

const CHAIN_BYTES = 4

/** A row's value ends with its length, so that one that is cut is found without reading it. */
const END_BYTES = 2

export function writeEnd(w: ByteWriter, length: number): void {
  w.u8(length & 255).u8((length >>> 8) & 255)
}

/** The value without its end; the reader given stands at its end then. */
function whole(value: ByteReader): ByteReader {
  const { buffer, position } = value
  const end = value.end - END_BYTES
  const length = end - position
  if (length < 0 || buffer[end] !== (length & 255) || buffer[end + 1] !== ((length >>> 8) & 255))
    throw new RangeError(`its ${value.left} bytes are not what was written`)
  value.position = value.end
  return new ByteReader(buffer, position, end)
}

/**
 * Takes in one row or tombstone of a user's. `key` stands at the id.
 * Errors: RangeError for a row that is cut; of users, CHANGELOG_NEWER or CHANGELOG_OLDER for another layout.
 */
export function takeRow(
  users: UserDirectory,
  items: ItemTable,
  store: number,
  key: ByteReader,
  given: ByteReader | null,
): void {
  const own = store === USER_STORES.users
  if (own && given !== null) checkLayout(given)
  const value = given === null ? null : whole(given)
  const from = key.position
  const idBytes = key.uint()
  const start = key.position
  const end = start + idBytes
  if (end > key.end) throw new RangeError(`a key is cut: an id of ${idBytes} bytes`)
  let entry = users.findBytes(key.buffer, start, end)
  if (own) {
    if (value === null) {
      if (entry >= 0) removeRaw(users, entry)
      return
    }
  } else if (value === null) {
    if (entry >= 0) dropRow(users, entry, store, key.buffer, end, key.end)
    return
  }
  if (entry < 0) entry = users.addBytes(key.buffer, start, end)
  const old = users.handleOf(entry)
  if (own) {
    const chain = old === 0 ? 0 : chainOf(users, old)
    if (old !== 0) users.arena.release(old)
    users.setHandle(entry, putUser(users, key.buffer, from, end, chain, value, items))
    return
  }
  if (old === 0) users.setHandle(entry, putUser(users, key.buffer, from, end, 0, undefined, items))
  else dropRow(users, entry, store, key.buffer, end, key.end)
  const handle = users.handleOf(entry)
  setChain(users, handle, putRow(users, chainOf(users, handle), store, key, end, value))
}

const LONGEST_ID = 2048
/** Id, RAW, chain, and of the user's own row what is not kept as it is. */
const front = Buffer.alloc(LONGEST_ID + CHAIN_BYTES + 1 + NAMED_BYTES)

/** `value` undefined: there is no own row yet. */
function putUser(
  users: UserDirectory,
  key: Buffer,
  from: number,
  to: number,
  chain: number,
  value: ByteReader | undefined,
  items: ItemTable,
): number {
  if (to - from > LONGEST_ID) throw new RangeError(`an id of ${to - from} bytes`)
  let length = 0
  for (let i = from; i < to; i++) front[length++] = key[i]
  front[length++] = RAW
  for (let shift = 0; shift < 32; shift += 8) front[length++] = (chain >>> shift) & 255
  if (value !== undefined) length = withNumbers(value, items, front, length)
  const { arena } = users
  const handle = arena.reserve(length + (value === undefined ? 0 : value.left))
  const page = arena.pageOf(handle)
  const at = arena.startOf(handle)
  for (let i = 0; i < length; i++) page[at + i] = front[i]
  value?.buffer.copy(page, at + length, value.position, value.end)
  return handle
}

function putRow(
  users: UserDirectory,
  next: number,
  store: number,
  key: ByteReader,
  from: number,
  value: ByteReader,
): number {
  const { arena } = users
  const keyBytes = key.end - from
  // what is behind the id is a number or a hash
  if (keyBytes > 255) throw new RangeError(`a key of ${keyBytes} bytes behind the id`)
  const handle = arena.reserve(CHAIN_BYTES + 2 + keyBytes + value.left)
  const page = arena.pageOf(handle)
  const at = arena.startOf(handle)
  page.writeUInt32LE(next, at)
  page[at + CHAIN_BYTES] = store
  page[at + CHAIN_BYTES + 1] = keyBytes
  key.buffer.copy(page, at + CHAIN_BYTES + 2, from, key.end)
  value.buffer.copy(page, at + CHAIN_BYTES + 2 + keyBytes, value.position, value.end)
  return handle
}

/** Where a user's block has the handle of its first further row. */
function chainAt(users: UserDirectory, handle: number): number {
  const r = users.readBlock(handle)
  r.raw(r.uint())
  return r.position + 1
}

function chainOf(users: UserDirectory, handle: number): number {
  return users.arena.pageOf(handle).readUInt32LE(chainAt(users, handle))
}

function setChain(users: UserDirectory, handle: number, first: number): void {
  users.arena.pageOf(handle).writeUInt32LE(first, chainAt(users, handle))
}

/** Takes the row of a key out of a user's, if it is there. */
function dropRow(
  users: UserDirectory,
  entry: number,
  store: number,
  key: Buffer,
  from: number,
  to: number,
): void {
  const { arena } = users
  const owner = users.handleOf(entry)
  let before = 0
  for (let handle = chainOf(users, owner); handle !== 0; ) {
    const page = arena.pageOf(handle)
    const at = arena.startOf(handle)
    const next = page.readUInt32LE(at)
    if (page[at + CHAIN_BYTES] === store && sameKey(page, at + CHAIN_BYTES + 1, key, from, to)) {
      if (before === 0) setChain(users, owner, next)
      else arena.pageOf(before).writeUInt32LE(next, arena.startOf(before))
      arena.release(handle)
      return
    }
    before = handle
    handle = next
  }
}

function sameKey(page: Buffer, at: number, key: Buffer, from: number, to: number): boolean {
  if (page[at] !== to - from) return false
  for (let i = from, j = at + 1; i < to; i++, j++) if (key[i] !== page[j]) return false
  return true
}

/** Forgets a user that stands as rows, and all of them. */
export function removeRaw(users: UserDirectory, entry: number): void {
  releaseRaw(users, entry)
  users.remove(entry)
}

/** Gives the blocks of a user that stands as rows back; its handle is to be set anew. */
export function releaseRaw(users: UserDirectory, entry: number): void {
  const { arena } = users
  const owner = users.handleOf(entry)
  for (let handle = chainOf(users, owner); handle !== 0; ) {
    const next = arena.pageOf(handle).readUInt32LE(arena.startOf(handle))
    arena.release(handle)
    handle = next
  }
  arena.release(owner)
}

/** A user's further rows, newest first. `first`: the handle of the first one; 0: there is none. */
export function* furtherRows(users: UserDirectory, first: number): IterableIterator<RawRow> {
  for (let handle = first; handle !== 0; ) {
    const r = users.readBlock(handle)
    const next = r.buffer.readUInt32LE(r.position)
    r.position += CHAIN_BYTES
    const store = r.u8()
    const keyBytes = r.u8()
    const key = users.readBlock(handle)
    key.position = r.position
    r.position += keyBytes
    yield { store, key, value: r }
    handle = next
  }
}

/** The first further row's handle; the reader, which stood behind RAW, then stands at the user's own row. */
export function readChain(r: ByteReader): number {
  const first = r.buffer.readUInt32LE(r.position)
  r.position += CHAIN_BYTES
  return first
}
