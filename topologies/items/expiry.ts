/** Items that expire: all day, so what follows from it is done together, every `expiredEveryMs`, and not at once. */
import type { CatalogEntry } from './table.ts'

export const expiredEveryMs = 5_000

/** Of an item that the catalog does not know: false. @param now processing time, ms. */
export function isExpired(
  entry: CatalogEntry | undefined,
  now: number,
): entry is CatalogEntry & { readonly expiresAt: number } {
  const expiresAt = entry?.expiresAt ?? null
  return expiresAt !== null && expiresAt <= now
}
