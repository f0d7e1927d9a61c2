/** Users between their objects and their bytes, which are packed (packing.ts) or as a restore left them (raw-users.ts). */
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { ByteWriter } from '../../streams/serde/bytes.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserDirectory } from './directory.ts'
import { packedTimes, packUser, unpackUser } from './packing.ts'
import { furtherRows, PACKED, RAW, readChain, releaseRaw, removeRaw } from './raw-users.ts'
import { cleanupHourOf, restoreUser } from './restore-user.ts'
import type { StoredUser } from './stored-user.ts'
import { readHead } from './user-row.ts'
import type { UserState } from './user-state.ts'

/** What a user is known by without being unpacked. */
export interface Times {
  readonly lastSeenAt: number
  readonly lastOffset: number
}

export function timesOf(directory: UserDirectory, entry: number): Times {
  const unpacked = directory.objectOf(entry)?.unpacked
  if (unpacked) return unpacked
  const r = directory.read(entry)
  r.raw(r.uint())
  if (r.u8() === PACKED) return packedTimes(r)
  readChain(r)
  return readHead(r)
}

/** Users for whom `wanted` holds; nobody is unpacked for it. */
export function* entriesWhere(
  directory: UserDirectory,
  wanted: (times: Times) => boolean,
): IterableIterator<number> {
  for (let entry = 0; entry < directory.entries; entry++)
    if (directory.has(entry) && wanted(timesOf(directory, entry))) yield entry
}

/** Entries looked through for active users at once: half a millisecond. */
const LOOKED_AT = 2_000

/** Ids of users whose newest event is at or after `ts`, ms; an undefined now and then, so that a slice may end there. */
export function* activeSince(
  directory: UserDirectory,
  ts: number,
): IterableIterator<string | undefined> {
  for (let entry = 0; entry < directory.entries; entry++)
    if (directory.has(entry) && timesOf(directory, entry).lastSeenAt >= ts)
      yield directory.idOf(entry)
    else if (entry % LOOKED_AT === 0) yield undefined
}

/** Gives a packed user its state; the bytes are given back. Errors: CHANGELOG_CORRUPT. */
export function unpack(
  directory: UserDirectory,
  user: StoredUser,
  items: ItemTable,
  graceMs: number,
): UserState {
  const { entry } = user
  const r = directory.read(entry)
  r.raw(r.uint())
  let state: UserState
  if (r.u8() === RAW) {
    const further = furtherRows(directory, readChain(r))
    try {
      state = restoreUser(user, r, further, items, graceMs)
    } catch (error) {
      throw new FreshetError(
        'CHANGELOG_CORRUPT',
        `the restored rows of user ${JSON.stringify(user.id)} can't be read (${messageOf(error)}); restore the changelog from its replicas, or begin anew with \`freshet reset\``,
        error,
      )
    }
    releaseRaw(directory, entry)
  } else {
    state = unpackUser(user, r)
    directory.arena.release(directory.handleOf(entry))
  }
  directory.setHandle(entry, 0)
  user.unpacked = state
  return state
}

/** Leaves only the bytes of a user, and its object as long as anyone may hold on to it. */
export function pack(directory: UserDirectory, state: UserState, scratch: ByteWriter): void {
  const { user } = state
  scratch.reset().string(user.id).u8(PACKED)
  packUser(state, scratch)
  directory.setHandle(user.entry, directory.arena.put(scratch.bytes()))
  user.unpacked = null
  if (user.idle) directory.setObject(user.entry, undefined)
}

/** After a restore: forgets rows without a user, and tells of each user when something of it expires. */
export function sortOut(
  directory: UserDirectory,
  graceMs: number,
  expires: (entry: number, hour: number) => void,
): void {
  for (let entry = 0; entry < directory.entries; entry++) {
    if (!directory.has(entry)) continue
    const r = directory.read(entry)
    r.raw(r.uint())
    r.u8()
    readChain(r)
    // a row of what was shown may outlive its user
    if (r.left === 0) {
      removeRaw(directory, entry)
      continue
    }
    const head = readHead(r)
    if (head.expires) expires(entry, cleanupHourOf(head.lastSeenAt, graceMs))
  }
}
