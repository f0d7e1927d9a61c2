/**
 * An impression as a row of the table `examples`. A newer revision replaces the whole row, so each says all that is known.
 * `features` is empty, and `feature_hash` '', where they are not known as they were served.
 */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { featureHash } from '../blend/features.ts'
import { type LabelEntry, RETURNING } from './pending.ts'
import { feedbackKinds } from './target.ts'

export interface ExampleFacts {
  readonly itemId: string
  readonly userKey: string
  /** null: not known yet, and nothing that came of it is told. */
  readonly label: 0 | 1 | null
  readonly target: number | null
  /** As served, in the registry's order. */
  readonly features: Float32Array | undefined
}

/** The request's pseudonym is made. */
export function exampleRow(entry: LabelEntry, facts: ExampleFacts): TableRow {
  const { request } = entry
  const { label, features } = facts
  const known = label !== null
  return {
    revision: entry.revision,
    ts: entry.shownAt,
    request: request.requestId,
    user: request.pseudonym,
    user_key: facts.userKey,
    item: facts.itemId,
    position: entry.position,
    propensity: entry.propensity,
    policy: request.policy,
    model: request.model,
    surface: request.surface,
    cohort: request.cohort,
    experiments: request.experiments,
    explore: entry.explore,
    source: entry.source,
    list_version: request.listVersion,
    feature_hash: features === undefined ? '' : featureHash,
    features: features === undefined ? [] : Array.from(features),
    prediction: entry.prediction,
    label,
    graded: known ? entry.graded : null,
    watched_ms: known ? entry.watchedMs : null,
    clicked: known ? entry.clicked : null,
    completed: known ? entry.completed : null,
    returned: entry.state === RETURNING ? entry.returned : null,
    feedback: feedbackKinds.filter((_, k) => (entry.feedback >> k) & 1),
    graded_quantile: known ? entry.quantile : null,
    target: facts.target,
  }
}
