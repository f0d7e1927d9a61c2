/**
 * The catalog row of the item changelog. Key: the item's id. Value: layout u8, flags u8, withdrawnAt, when it became restricted, then
 * the Item's fields where it is known. A row is never removed: that an item is withdrawn is state, not the row's absence.
 */
import type { Item, Safety } from '../../schemas/index.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

const layout = 1
const KNOWN = 1
const EXPIRES = 2
const EMBEDDED = 4
const EXPIRED = 8
const DEMOTED = 16
const safeties: readonly Safety[] = ['ok', 'restricted', 'blocked']

export interface CatalogValue {
  /** When it left for good, ms; 0: neither withdrawn nor blocked nor expired. */
  readonly withdrawnAt: number
  /** It left since it expired, and for no other reason: an Item that expires later brings it back. */
  readonly expired?: boolean
  /** When it became restricted, ms; 0: it is not, or always was. */
  readonly restrictedAt?: number
  /** null: only a tombstone was seen. `embedding` is null here; see `content`. */
  readonly item: Omit<Item, 'itemId' | 'embedding'> | null
  /** Unit length; null where the catalog gave none that can be used. */
  readonly content: Float32Array | null
}

export function writeCatalogValue(value: CatalogValue, w: ByteWriter): void {
  const { item, content, expired = false, restrictedAt = 0 } = value
  w.u8(layout)
  w.u8(
    (item ? KNOWN : 0) |
      (item && item.expiresAt !== null ? EXPIRES : 0) |
      (content ? EMBEDDED : 0) |
      (expired ? EXPIRED : 0) |
      (restrictedAt > 0 ? DEMOTED : 0),
  )
  w.uint(value.withdrawnAt)
  if (restrictedAt > 0) w.uint(restrictedAt)
  if (item) {
    w.string(item.title).string(item.creatorId)
    writeStrings(item.topics, w)
    w.string(item.language)
    writeStrings(item.regions, w)
    w.int(item.publishedAt)
    if (item.expiresAt !== null) w.int(item.expiresAt)
    w.uint(item.durationMs).u8(safeties.indexOf(item.safety))
    writeStrings(Object.entries(item.attributes).flat(), w)
  }
  if (content) {
    w.uint(content.length)
    for (const x of content) w.f32(x)
  }
}

/** Errors: CHANGELOG_NEWER for a layout this version does not know; RangeError for a row that is cut. */
export function readCatalogValue(value: ByteReader): CatalogValue {
  const found = value.u8()
  if (found !== layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a catalog row has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
    )
  const flags = value.u8()
  const withdrawnAt = value.uint()
  const restrictedAt = (flags & DEMOTED) === 0 ? 0 : value.uint()
  const item =
    (flags & KNOWN) === 0
      ? null
      : {
          title: value.string(),
          creatorId: value.string(),
          topics: readStrings(value),
          language: value.string(),
          regions: readStrings(value),
          publishedAt: value.int(),
          expiresAt: (flags & EXPIRES) === 0 ? null : value.int(),
          durationMs: value.uint(),
          safety: safeties[value.u8()],
          attributes: readAttributes(value),
        }
  let content: Float32Array | null = null
  if ((flags & EMBEDDED) !== 0) {
    content = new Float32Array(value.uint())
    for (let i = 0; i < content.length; i++) content[i] = value.f32()
  }
  return { withdrawnAt, expired: (flags & EXPIRED) !== 0, restrictedAt, item, content }
}

function writeStrings(values: readonly string[], w: ByteWriter): void {
  w.uint(values.length)
  for (const value of values) w.string(value)
}

function readStrings(r: ByteReader): string[] {
  const values: string[] = []
  for (let left = r.uint(); left > 0; left--) values.push(r.string())
  return values
}

function readAttributes(r: ByteReader): Record<string, string> {
  const flat = readStrings(r)
  const attributes: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) attributes.push([flat[i], flat[i + 1]])
  return Object.fromEntries(attributes)
}

/** The vector at unit length as float32; null for a NaN, an infinity or length zero. */
export function unitVector(values: readonly number[]): Float32Array | null {
  let square = 0
  for (const x of values) square += x * x
  const length = Math.sqrt(square)
  if (!(length > 0) || length === Number.POSITIVE_INFINITY) return null
  return Float32Array.from(values, x => x / length)
}
