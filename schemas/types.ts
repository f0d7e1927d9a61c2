// biome-ignore-all format: the generator lays it out
/** Made by generate.ts from avro/*.avsc: edit those, then run `npx tsx schemas/generate.ts`. */

/** A record as its maker may write it: what has a default may be left out. */
export type Draft<T, Required extends keyof T> = Pick<T, Required> & Partial<Omit<T, Required>>

/** A rule that holds, or no longer does. */
export interface Alert {
  /** Stable: the same record sent again has the same id. */
  readonly eventId: string
  readonly rule: string
  readonly subject: string
  /** ms since 1970. */
  readonly since: number
  /** When it ended; null while it holds; ms since 1970. */
  readonly until: number | null
  readonly value: number
  readonly threshold: number
  readonly message: string
  /** Shows the figures behind it. */
  readonly query: string
}

export type AlertDraft = Draft<Alert, 'eventId' | 'rule' | 'subject' | 'since'>

/** Asks for everything about a user to be removed. */
export interface Erasure {
  /** Unique per event; a second one with the same id is dropped. */
  readonly eventId: string
  readonly userId: string
  /** Event time; ms since 1970. */
  readonly ts: number
  readonly reason: string
}

export type ErasureDraft = Draft<Erasure, 'eventId' | 'userId' | 'ts'>

/** One arm of an experiment. */
export interface ExperimentArm {
  readonly name: string
  /** Part of the users, 0 to 1. */
  readonly share: number
  /** Policy options that this arm changes. */
  readonly overrides: Readonly<Record<string, string>>
}

export type ExperimentArmDraft = Draft<ExperimentArm, 'name'>

/** An experiment as it runs; the key is its name. */
export interface Experiment {
  readonly experiment: string
  readonly arms: readonly ExperimentArm[]
  readonly salt: string
  /** Name of the arm the others are compared with. */
  readonly control: string
  readonly metrics: readonly string[]
  /** Metric to the loss that is still accepted (non-inferiority margin). */
  readonly guardrails: Readonly<Record<string, number>>
  /** ms since 1970. */
  readonly start: number
  /** ms since 1970. */
  readonly end: number | null
}

export type ExperimentDraft = Draft<Experiment, 'experiment'>

/** What the viewer did with the item. */
export type FeedbackKind = 'click' | 'like' | 'dislike' | 'hide' | 'share' | 'save' | 'follow' | 'report' | 'other'

/** What the viewer allowed: everything; aggregates and cohort lists only; nothing but a count. */
export type Consent = 'full' | 'contextual' | 'none'

/** An explicit act on an item. */
export interface Feedback {
  /** Unique per event; a second one with the same id is dropped. */
  readonly eventId: string
  /** The record's key; a logged-out viewer is anon:<device>. */
  readonly userId: string
  readonly itemId: string
  /** Event time; ms since 1970. */
  readonly ts: number
  readonly requestId: string | null
  readonly kind: FeedbackKind
  readonly value: number
  readonly surface: string
  readonly cohort: string
  /** device, hour, network, .... */
  readonly context: Readonly<Record<string, string>>
  /** Experiment to arm, as the list gave them. */
  readonly experiments: Readonly<Record<string, string>>
  readonly consent: Consent
}

export type FeedbackDraft = Draft<Feedback, 'eventId' | 'userId' | 'itemId' | 'ts' | 'consent'>

/** A login that joins a device to a user; reserved. */
export interface Identify {
  /** Unique per event; a second one with the same id is dropped. */
  readonly eventId: string
  readonly userId: string
  readonly anonId: string
  /** Event time; ms since 1970. */
  readonly ts: number
}

export type IdentifyDraft = Draft<Identify, 'eventId' | 'userId' | 'anonId' | 'ts'>

/** Which retrieval stage proposed the item. */
export type CandidateSource = 'popularity' | 'covisit' | 'knn' | 'embedding' | 'content' | 'explore' | 'other'

/** One item made visible to one viewer. */
export interface Impression {
  /** Unique per event; a second one with the same id is dropped. */
  readonly eventId: string
  /** The record's key; a logged-out viewer is anon:<device>. */
  readonly userId: string
  /** The list request it belongs to. */
  readonly requestId: string
  readonly itemId: string
  /** Event time; ms since 1970. */
  readonly ts: number
  /** Place in the list, from 0. */
  readonly position: number
  readonly slateSize: number
  readonly surface: string
  readonly cohort: string
  /** device, hour, network, .... */
  readonly context: Readonly<Record<string, string>>
  readonly policy: string
  readonly modelVersion: string
  readonly listVersion: string | null
  /** Place in the list of listVersion, before the reader changed it. */
  readonly listIndex: number | null
  readonly candidateSource: CandidateSource
  readonly score: number | null
  /** Conditional probability of this item at this position given those above it and the candidates; null unknown. */
  readonly propensity: number | null
  readonly explore: boolean
  /** Experiment to arm, as the list gave them. */
  readonly experiments: Readonly<Record<string, string>>
  readonly consent: Consent
}

export type ImpressionDraft = Draft<Impression, 'eventId' | 'userId' | 'itemId' | 'ts' | 'consent'>

/** Whether the item may be listed. */
export type Safety = 'ok' | 'restricted' | 'blocked'

/** A catalog entry; a tombstone withdraws it. */
export interface Item {
  readonly itemId: string
  readonly title: string
  readonly creatorId: string
  readonly topics: readonly string[]
  readonly language: string
  readonly regions: readonly string[]
  /** ms since 1970. */
  readonly publishedAt: number
  /** ms since 1970. */
  readonly expiresAt: number | null
  readonly durationMs: number
  readonly safety: Safety
  readonly attributes: Readonly<Record<string, string>>
  /** Content embedding, for the cold start. */
  readonly embedding: readonly number[] | null
}

export type ItemDraft = Draft<Item, 'itemId'>

/** A model, one of its chunks, or the pointer to the promoted one; the key tells which. */
export interface Model {
  readonly name: string
  /** Of the whole model, hex. */
  readonly sha256: string
  /** When it was pushed or promoted; ms since 1970. */
  readonly ts: number
  /** Number of chunks of the model. */
  readonly chunks: number
  /** This chunk's number; null in a manifest or pointer. */
  readonly chunk: number | null
  /** The chunk. */
  readonly bytes: Buffer
  readonly sizeBytes: number
  /** Of the feature list the model was trained on. */
  readonly featureHash: string
  /** Training data, code, parent model. */
  readonly lineage: Readonly<Record<string, string>>
}

export type ModelDraft = Draft<Model, 'name'>

/** A user's running session: the fields of the Redis hash. */
export interface SessionFeatures {
  /** Stable: the same record sent again has the same id. */
  readonly eventId: string
  readonly userId: string
  readonly session_id: string
  /** ms since 1970. */
  readonly started_at: number
  /** ms since 1970. */
  readonly last_event_at: number
  readonly impressions: number
  /** Plays. */
  readonly watches: number
  readonly positives: number
  readonly watched_ms: number
  /** Plays that ended finished. */
  readonly completes: number
  readonly skips: number
  /** Items played, newest first, at most 50. */
  readonly last_items: readonly string[]
  readonly version: string
}

export type SessionFeaturesDraft = Draft<SessionFeatures, 'eventId' | 'userId' | 'session_id' | 'started_at' | 'last_event_at'>

/** How the play ended; none while it runs. */
export type EndReason = 'none' | 'finished' | 'skipped' | 'left'

/** A heartbeat of one play. */
export interface Watch {
  /** Unique per event; a second one with the same id is dropped. */
  readonly eventId: string
  /** The record's key; a logged-out viewer is anon:<device>. */
  readonly userId: string
  readonly itemId: string
  /** Event time; ms since 1970. */
  readonly ts: number
  readonly requestId: string | null
  readonly playId: string
  /** The heartbeat's number. */
  readonly seq: number
  /** Unique content watched so far in this play: cumulative. */
  readonly watchedMs: number
  /** Length of the content; 0 unknown or live. */
  readonly durationMs: number
  readonly surface: string
  readonly cohort: string
  /** device, hour, network, .... */
  readonly context: Readonly<Record<string, string>>
  /** Experiment to arm, as the list gave them. */
  readonly experiments: Readonly<Record<string, string>>
  readonly consent: Consent
  readonly endReason: EndReason
}

export type WatchDraft = Draft<Watch, 'eventId' | 'userId' | 'itemId' | 'ts' | 'playId' | 'watchedMs' | 'consent'>

export interface RecordTypes {
  readonly Alert: Alert
  readonly Erasure: Erasure
  readonly Experiment: Experiment
  readonly Feedback: Feedback
  readonly Identify: Identify
  readonly Impression: Impression
  readonly Item: Item
  readonly Model: Model
  readonly SessionFeatures: SessionFeatures
  readonly Watch: Watch
}

export interface RecordDrafts {
  readonly Alert: AlertDraft
  readonly Erasure: ErasureDraft
  readonly Experiment: ExperimentDraft
  readonly Feedback: FeedbackDraft
  readonly Identify: IdentifyDraft
  readonly Impression: ImpressionDraft
  readonly Item: ItemDraft
  readonly Model: ModelDraft
  readonly SessionFeatures: SessionFeaturesDraft
  readonly Watch: WatchDraft
}

export type RecordName = keyof RecordTypes
