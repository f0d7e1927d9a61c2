/**
 * Reads one file, block by block: the next part of it is on its way while one is worked on, and no more of it is in memory.
 * Memory: two parts of READ_BYTES, and what the caller keeps.
 */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { blockHead, type RawBlock } from './blocks.ts'
import { damaged, decodeHeader, type FileHeader, SYNC_BYTES } from './format.ts'
import type { FileEntry, Manifest } from './manifest.ts'

const READ_BYTES = 256 << 10
/** A header is longer than that only where it is none. */
const MOST_HEADER = 1 << 20

export interface FileContent {
  readonly header: FileHeader
  /** Records, still packed, in the order of the file. */
  readonly blocks: AsyncGenerator<RawBlock>
  close(): Promise<void>
}

/**
 * Opens a file of which the first `bytes` count. undefined: there is none. `onBytes` is told all bytes in order.
 * Errors: ARCHIVE_DAMAGED, also of `blocks`.
 */
export async function readFile(
  dir: string,
  path: string,
  bytes: number,
  onBytes?: (bytes: Buffer) => void,
): Promise<FileContent | undefined> {
  const file = await open(join(dir, path), 'r').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      `the archive's file ${join(dir, path)} can't be read: ${messageOf(error)}`,
      error,
    )
  })
  if (file === undefined) return undefined
  let asked = 0
  const part = async (): Promise<Buffer> => {
    const size = Math.min(READ_BYTES, bytes - asked)
    if (size <= 0) return Buffer.alloc(0)
    const at = asked
    asked += size
    const into = Buffer.allocUnsafeSlow(size)
    for (let done = 0; done < size; ) {
      const { bytesRead } = await file.read(into, done, size - done, at + done)
      if (bytesRead === 0)
        throw damaged(path, at + done, `it ends there, the manifest says ${bytes} bytes`)
      done += bytesRead
    }
    return into
  }
  let next = part()
  next.catch(() => undefined)
  let left: Buffer = Buffer.alloc(0)
  /** Of the first byte of `left` in the file. */
  let leftAt = 0
  /** Behind the first `used` bytes of what is left comes the next part; false: the file is over. */
  const more = async (used: number): Promise<boolean> => {
    const came = await next
    next = part()
    next.catch(() => undefined)
    onBytes?.(came)
    left = left.length === used ? came : Buffer.concat([left.subarray(used), came])
    leftAt += used
    return came.length > 0
  }

  try {
    await more(0)
    let head = decodeHeader(left, path)
    while (head === undefined) {
      if (left.length > MOST_HEADER || !(await more(0)))
        throw damaged(path, 0, 'its header has no end')
      head = decodeHeader(left, path)
    }
    const { header, length } = head
    return { header, blocks: blocks(length, header.sync), close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }

  async function* blocks(begin: number, sync: Buffer): AsyncGenerator<RawBlock> {
    let at = begin
    for (;;) {
      const damage = (what: string): Error => damaged(path, leftAt + at, what)
      const head = blockHead(left, at, damage)
      if (head === undefined || head.from + head.length + SYNC_BYTES > left.length) {
        const came = await more(at)
        at = 0
        if (came) continue
        if (left.length === 0) return
        throw damage('its last block has no end')
      }
      const { count, from, length } = head
      const end = from + length
      if (sync.compare(left, end, end + SYNC_BYTES) !== 0)
        throw damage('the marker behind the block is another')
      yield { count, data: left.subarray(from, end), at: leftAt + at }
      at = end + SYNC_BYTES
    }
  }
}

/** What a file says that it is, where that is not what the manifest names it for. */
export function foreignness(
  manifest: Manifest,
  entry: FileEntry,
  { header }: Pick<FileContent, 'header'>,
): string | undefined {
  const topic = manifest.topics.find(one => one.name === entry.topic)
  const said = `${header.topic}-${header.partition}@${header.from}`
  if (header.archive !== manifest.id) return `it is of another archive (${header.archive})`
  if (said !== `${entry.topic}-${entry.partition}@${entry.from}`)
    return `it is ${said}, the manifest names it for ${entry.topic}-${entry.partition}@${entry.from}`
  if (header.partitions !== topic?.partitions.length)
    return `it was written when ${entry.topic} had ${header.partitions} partitions, the manifest has ${topic?.partitions.length ?? 'no such topic'}`
  return undefined
}
