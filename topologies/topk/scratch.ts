/** What the top-k stage keeps of a user, in memory only, beside what `user.ts` names. */
declare module '../user/user.ts' {
  interface UserScratch {
    /** Where the user stands in the queue of lists (queue.ts). */
    listPlace?: 'ready' | 'resting' | 'urgent'
    /** The list waits for an event of the user's (and not only for a withdrawn item). */
    listAnswers?: boolean
    /** Kafka timestamp of the oldest record that the next list answers. */
    listRecordTs?: number
  }
}
export type ScratchOfTopk = true
