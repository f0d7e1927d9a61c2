/** What the port takes; a file of its own, as both the port and the builder need it. */

/**
 * A finished record batch without its producer fields and checksum, which the writer stamps. It belongs to one append:
 * the same object never goes to two partitions.
 */
export interface UnstampedBatch {
  readonly count: number
  readonly sizeBytes: number
  /**
   * Writes the producer fields and the checksum; resolves to the batch's own buffer, valid for as long as the batch is.
   * Again with the same arguments: the same bytes, for a resend. Without idempotence: (-1n, -1, -1).
   */
  stamp(producerId: bigint, epoch: number, baseSequence: number): Buffer
}
