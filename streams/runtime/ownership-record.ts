/** The ownership record, which opens every ownership of a task on its changelog (C2): who owns it from here on. */

/** Keys of the runtime's own records begin with 0, which no store may have as its number. */
export const OWNER_KEY = Buffer.from([0, 1])

/** `opensAt`: of the first one of a line of epochs, the offset at which alone it is in force. */
export interface OwnerRecord {
  readonly uuid: string
  readonly opensAt?: number
}
