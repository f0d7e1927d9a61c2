/**
 * A list as it stands in the view store: the JSON of CONTRACT 2. The store writes `{"version":"...",` before the body.
 *
 * `json`: `"user":"u1","surface":"home","cohort":"","at":ms,"expires":ms,"policy":"mix-pl@1","model":"","experiments":{"rank7":"b"},
 * "items":[{"id":"i9","score":1.234,"p":0.041,"src":"covisit","x":false}]}`
 *
 * `compact`: the same head, then parallel arrays by position instead of `items`:
 * `"ids":["i9",...],"scores":[1.234,...],"p":[0.041,...],"src":"c...","x":[3]}` where `src` has one letter a position
 * (p popularity, c covisit, k knn, e embedding, n content, x explore, o other) and `x` names the positions
 * with explore = true.
 *
 * `score` is the logit after penalties at the draw, exact (whole thousandths). `p` has 4 significant digits, within .05%:
 * less than any estimate can tell, and a digit more costs 50 items 50 bytes. It is 1 only where chance had no part.
 */
import { candidateSources } from './retrieve/candidates.ts'
import type { Slate } from './rules.ts'

const letters = ['p', 'c', 'k', 'e', 'n', 'x', 'o'] as const
const explore = candidateSources.indexOf('explore')

export interface ListHead {
  /** '' in cohort and global lists. */
  readonly user: string
  readonly surface: string
  readonly cohort: string
  readonly at: number
  readonly expires: number
  readonly policy: string
  readonly model: string
  /** The user's arms as JSON; '{}' where there are none. */
  readonly experiments?: string
}

/** Ids and sources of the candidates that a slate's `picked` points at. */
export interface ListedCandidates {
  idOf(candidate: number): string
  sourceOf(candidate: number): number
}

export function listBody(
  head: ListHead,
  slate: Slate,
  candidates: ListedCandidates,
  format: 'json' | 'compact',
): string {
  const start = `"user":${text(head.user)},"surface":${text(head.surface)},"cohort":${text(head.cohort)},"at":${head.at},"expires":${head.expires},"policy":${text(head.policy)},"model":${text(head.model)},"experiments":${head.experiments ?? '{}'}`
  return format === 'json'
    ? `${start},"items":[${items(slate, candidates)}]}`
    : `${start},${arrays(slate, candidates)}}`
}

function items(slate: Slate, candidates: ListedCandidates): string {
  let out = ''
  for (let k = 0; k < slate.count; k++) {
    const pick = slate.picked[k]
    const source = candidates.sourceOf(pick)
    out += `${k === 0 ? '' : ','}{"id":${text(candidates.idOf(pick))},"score":${slate.score[k]},"p":${digits(slate.p[k])},"src":"${candidateSources[source]}","x":${explores(slate, k, source)}}`
  }
  return out
}

function arrays(slate: Slate, candidates: ListedCandidates): string {
  const ids: string[] = []
  const scores: string[] = []
  const p: string[] = []
  const x: number[] = []
  let src = ''
  for (let k = 0; k < slate.count; k++) {
    const pick = slate.picked[k]
    const source = candidates.sourceOf(pick)
    ids.push(text(candidates.idOf(pick)))
    scores.push(String(slate.score[k]))
    p.push(digits(slate.p[k]))
    src += letters[source]
    if (explores(slate, k, source)) x.push(k)
  }
  return `"ids":[${ids}],"scores":[${scores}],"p":[${p}],"src":"${src}","x":[${x}]`
}

function explores(slate: Slate, position: number, source: number): boolean {
  return source === explore || slate.explored[position] === 1
}

/** Four significant digits as short as JSON takes them; never 1 for less. */
function digits(p: number): string {
  // rounding and the shortest text cost a fifth of toPrecision, and this runs for every position
  if (p >= 0.1) return p < 1 ? String(Math.min(0.9999, Math.round(p * 1e4) / 1e4)) : '1'
  if (p >= 0.01) return String(Math.round(p * 1e5) / 1e5)
  if (p >= 0.001) return String(Math.round(p * 1e6) / 1e6)
  return Number(p.toPrecision(4)).toExponential()
}

const plainText = /^[\w .:/-]*$/

function text(value: string): string {
  return plainText.test(value) ? `"${value}"` : JSON.stringify(value)
}
