/**
 * Which arm of an experiment a user is in: a salted hash of the user decides, the same in every process and language.
 *
 *   text  = salt + "\n" + experiment + "\n" + userId, as UTF-8
 *   u     = the first 6 bytes of SHA-256(text) as a big-endian whole number, divided by 2^48: in [0, 1)
 *   arm   = the first, in the order of the experiment's arms, whose share added to those before it is above u; else none
 *
 * Shares are added as doubles, from the first on. The experiment's name stands in the text, so two experiments deal a user
 * independently of each other even with the same salt. Nothing else counts: not the time, not how many users there are.
 *
 * Lists carry the arms that freshet dealt: whoever shows them takes them from there. This is for what no list has, and for
 * whoever checks.
 */
import { createHash } from 'node:crypto'
import type { Experiment } from './types.ts'

/** What dealing needs of an experiment. */
export type Dealt = Pick<Experiment, 'experiment' | 'salt'> & {
  readonly arms: readonly { readonly name: string; readonly share: number }[]
}

/** The name of the user's arm; null: in none. */
export function assign(experiment: Dealt, userId: string): string | null {
  const u = unitOf(experiment.salt, experiment.experiment, userId)
  let upTo = 0
  for (const { name, share } of experiment.arms) {
    upTo += share
    if (u < upTo) return name
  }
  return null
}

/** Where a user stands in [0, 1). 1 to 2 us. */
function unitOf(salt: string, experiment: string, userId: string): number {
  const hash = createHash('sha256').update(`${salt}\n${experiment}\n${userId}`).digest()
  return hash.readUIntBE(0, 6) / 2 ** 48
}
