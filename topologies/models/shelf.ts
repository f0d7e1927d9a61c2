/**
 * The models topic, folded: which models stand there whole, and which one of each name is promoted. Compacted, one
 * partition, so the newest record of a key is all that counts:
 *
 *  - `name@sha256#i`  chunk i of a model's bytes
 *  - `name@sha256`    its manifest; written after its chunks, so that where it stands they do
 *  - `name`           the pointer to the promoted one; `lineage.previous` is the sha256 of the one before, for a rollback
 *
 * A model is named by its bytes' sha256: pushing it again changes nothing, and nothing can stand under the same name twice.
 */
import type { Model } from '../../schemas/index.ts'

export const CHUNK_BYTES = 512 * 1024

/** A model's manifest. */
export interface Manifest {
  readonly name: string
  readonly sha256: string
  readonly pushedAt: number
  readonly chunks: number
  readonly sizeBytes: number
  readonly featureHash: string
  /** features, producer, msPer1000Rows, and what the trainer said: trainer, trainedFrom, trainedTo. */
  readonly lineage: Readonly<Record<string, string>>
}

export interface Pointer {
  readonly name: string
  readonly sha256: string
  readonly promotedAt: number
  /** '' where there is none. */
  readonly previous: string
}

export type ModelKey =
  | { readonly kind: 'pointer'; readonly name: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly sha256: string }
  | {
      readonly kind: 'chunk'
      readonly name: string
      readonly sha256: string
      readonly chunk: number
    }

const keyShape = /^([^@#]+)(?:@([0-9a-f]{64})(?:#(\d+))?)?$/

export const keyOf = {
  pointer: (name: string): string => name,
  manifest: (name: string, sha256: string): string => `${name}@${sha256}`,
  chunk: (name: string, sha256: string, chunk: number): string => `${name}@${sha256}#${chunk}`,
}

/** undefined: no key of this topic. */
export function parseKey(key: string): ModelKey | undefined {
  const match = keyShape.exec(key)
  if (!match) return undefined
  const [, name, sha256, chunk] = match
  if (sha256 === undefined) return { kind: 'pointer', name }
  if (chunk === undefined) return { kind: 'manifest', name, sha256 }
  return { kind: 'chunk', name, sha256, chunk: Number(chunk) }
}

/** How a model stands in lists and on the terminal: long enough to tell any two apart. */
export const shortSha = (sha256: string): string => sha256.slice(0, 12)

export class Shelf {
  private readonly byKey = new Map<string, Manifest>()
  private readonly pointers = new Map<string, Pointer>()

  /** `record` null is a tombstone. Records that are none of this topic's are passed over. */
  apply(key: string, record: Model | null): void {
    const parsed = parseKey(key)
    if (parsed?.kind === 'manifest') {
      if (record === null) this.byKey.delete(key)
      else this.byKey.set(key, manifestOf(parsed.name, parsed.sha256, record))
    } else if (parsed?.kind === 'pointer') {
      if (record === null) this.pointers.delete(parsed.name)
      else
        this.pointers.set(parsed.name, {
          name: parsed.name,
          sha256: record.sha256,
          promotedAt: record.ts,
          previous: record.lineage.previous ?? '',
        })
    }
  }

  manifest(name: string, sha256: string): Manifest | undefined {
    return this.byKey.get(keyOf.manifest(name, sha256))
  }

  pointer(name: string): Pointer | undefined {
    return this.pointers.get(name)
  }

  /** By name, each name's newest first. */
  manifests(): Manifest[] {
    return [...this.byKey.values()].sort(
      (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) || b.pushedAt - a.pushedAt,
    )
  }

  /** Those of a name whose sha256 begins so. */
  matching(name: string, prefix: string): Manifest[] {
    return this.manifests().filter(m => m.name === name && m.sha256.startsWith(prefix))
  }
}

function manifestOf(name: string, sha256: string, record: Model): Manifest {
  const { ts, chunks, sizeBytes, featureHash, lineage } = record
  return { name, sha256, pushedAt: ts, chunks, sizeBytes, featureHash, lineage }
}
