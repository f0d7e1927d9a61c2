/** What a simulation sends, and the lists it is shown. */
import type { FeedbackDraft, ImpressionDraft, ItemDraft, WatchDraft } from '../../schemas/index.ts'

type SimulatedRecord =
  | { readonly kind: 'Impression'; readonly record: ImpressionDraft }
  | { readonly kind: 'Watch'; readonly record: WatchDraft }
  | { readonly kind: 'Feedback'; readonly record: FeedbackDraft }

/** `at`: when it is sent, ms; the event's own `ts` unless it is late or a double. */
export type SimulatedEvent =
  | (SimulatedRecord & { readonly topic: 'events'; readonly key: string; readonly at: number })
  | {
      readonly topic: 'items'
      readonly kind: 'Item'
      readonly key: string
      readonly at: number
      /** null: the item is withdrawn. */
      readonly record: ItemDraft | null
    }

/** A list as Redis has it (CONTRACT 2). */
export interface ServedList {
  readonly version: string
  readonly policy: string
  readonly model?: string
  readonly experiments?: Readonly<Record<string, string>>
  readonly items: readonly {
    readonly id: string
    readonly score: number
    readonly p: number | null
    readonly src: string
    readonly x?: boolean
  }[]
}

/** Gives the list that would be shown now, or undefined: then the logging policy of the simulator chooses. */
export type ListProvider = (who: {
  readonly userId: string
  readonly cohort: string
  readonly surface: string
  /** When the list is read, ms. */
  readonly ts: number
}) => ServedList | undefined
