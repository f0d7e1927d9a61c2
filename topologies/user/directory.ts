/**
 * The stored users of a task by their id: an open-addressing table over typed arrays, and beside it the bytes of those who are
 * packed. A million users as strings and objects in a Map take 170 MB and the garbage collector's time; here 16 to 32 B each.
 *
 *  - D1 A user keeps its entry, a small integer, as long as it is stored; entries of removed users are given again.
 *  - D2 An entry has bytes (`handleOf` not 0), or an object, or both: its id is read from either.
 *  - D3 Bytes begin with the id's length and UTF-8; what follows is the caller's.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import { Arena } from './arena.ts'
import type { StoredUser } from './stored-user.ts'

const FIRST_SLOTS = 1024

export class UserDirectory {
  readonly arena = new Arena()
  size = 0
  /** Entry + 1 by hash, with linear probing; 0: free. */
  private slots = new Int32Array(FIRST_SLOTS)
  private hashes = new Int32Array(FIRST_SLOTS / 2)
  private handles = new Int32Array(FIRST_SLOTS / 2)
  private readonly objects = new Map<number, StoredUser>()
  /** One past the highest entry ever given. */
  entries = 0
  /** Entries of users who were removed, to be given again. */
  private readonly freed: number[] = []

  /** Memory in bytes, without objects. */
  get bytes(): number {
    const { slots, hashes, handles } = this
    return this.arena.pageBytes + 4 * (slots.length + hashes.length + handles.length)
  }

  /** False for an entry whose user was removed. */
  has(entry: number): boolean {
    return this.handles[entry] !== 0 || this.objects.has(entry)
  }

  /** The entry of a user; -1: not stored. Hot: once an event. */
  find(id: string): number {
    const hash = hashOfText(id)
    const mask = this.slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = this.slots[slot] - 1
      if (entry < 0) return -1
      if (this.hashes[entry] !== hash) continue
      const object = this.objects.get(entry)
      if (object !== undefined ? object.id === id : this.idOf(entry) === id) return entry
    }
  }

  /** As `find`, for an id whose UTF-8 stands at start..end of `buffer`. Hot: once a row of a restore. */
  findBytes(buffer: Buffer, start: number, end: number): number {
    const hash = hashOfBytes(buffer, start, end)
    const mask = this.slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = this.slots[slot] - 1
      if (entry < 0) return -1
      if (this.hashes[entry] === hash && this.isOf(entry, buffer, start, end)) return entry
    }
  }

  private isOf(entry: number, buffer: Buffer, start: number, end: number): boolean {
    const handle = this.handles[entry]
    if (handle === 0) return this.objects.get(entry)?.id === buffer.toString('utf8', start, end)
    const reader = this.read(entry)
    if (reader.uint() !== end - start) return false
    const page = reader.buffer
    for (let i = start, j = reader.position; i < end; i++, j++)
      if (buffer[i] !== page[j]) return false
    return true
  }

  idOf(entry: number): string {
    return this.objects.get(entry)?.id ?? this.read(entry).string()
  }

  objectOf(entry: number): StoredUser | undefined {
    return this.objects.get(entry)
  }

  /** The object must have the entry's id. undefined: only the bytes stay, and there must be some. */
  setObject(entry: number, object: StoredUser | undefined): void {
    if (object) this.objects.set(entry, object)
    else this.objects.delete(entry)
  }

  /** 0: the user has no bytes. */
  handleOf(entry: number): number {
    return this.handles[entry]
  }

  /** The caller releases the old handle. */
  setHandle(entry: number, handle: number): void {
    this.handles[entry] = handle
  }

  /** The entry's bytes, from the id on. */
  read(entry: number): ByteReader {
    return this.readBlock(this.handles[entry])
  }

  readBlock(handle: number): ByteReader {
    const start = this.arena.startOf(handle)
    return new ByteReader(this.arena.pageOf(handle), start, start + this.arena.lengthOf(handle))
  }

  /** An entry for a user who has none. The caller gives it an object or bytes before anything else. */
  add(id: string): number {
    return this.insert(hashOfText(id))
  }

  addBytes(buffer: Buffer, start: number, end: number): number {
    return this.insert(hashOfBytes(buffer, start, end))
  }

  private insert(hash: number): number {
    const entry = this.freed.pop() ?? this.entries++
    if (entry === this.hashes.length) this.grow()
    this.hashes[entry] = hash
    this.handles[entry] = 0
    this.link(entry)
    this.size++
    return entry
  }

  private link(entry: number): void {
    const mask = this.slots.length - 1
    let slot = this.hashes[entry] & mask
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask
    this.slots[slot] = entry + 1
  }

  private grow(): void {
    const capacity = this.hashes.length * 2
    const { hashes, handles } = this
    this.hashes = new Int32Array(capacity)
    this.hashes.set(hashes)
    this.handles = new Int32Array(capacity)
    this.handles.set(handles)
    this.slots = new Int32Array(capacity * 2)
    // it grows only where no entry is free
    for (let entry = 0; entry < hashes.length; entry++) this.link(entry)
  }

  /** Forgets a user; its bytes must be released before. */
  remove(entry: number): void {
    const mask = this.slots.length - 1
    let slot = this.hashes[entry] & mask
    while (this.slots[slot] !== entry + 1) slot = (slot + 1) & mask
    // closes the gap: whoever stands behind it and belongs at or before it moves up
    for (let next = (slot + 1) & mask; this.slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.hashes[this.slots[next] - 1] & mask
      if (((next - home) & mask) < ((next - slot) & mask)) continue
      this.slots[slot] = this.slots[next]
      slot = next
    }
    this.slots[slot] = 0
    this.handles[entry] = 0
    this.objects.delete(entry)
    this.freed.push(entry)
    this.size--
  }
}

/** FNV-1a over UTF-8, its high bits folded in. */
function hashOfBytes(buffer: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ buffer[i], 0x01000193)
  return hash ^ (hash >>> 15)
}

function hashOfText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) {
      const bytes = Buffer.from(text)
      return hashOfBytes(bytes, 0, bytes.length)
    }
    hash = Math.imul(hash ^ code, 0x01000193)
  }
  return hash ^ (hash >>> 15)
}
