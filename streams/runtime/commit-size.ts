/**
 * How large the next commit will be, so that input waits before it is larger than the topic takes (C1, C7): by the rows
 * changed, at what a row brought with it lately (its packets and table rows included); by the records taken in, which may
 * change few rows and still leave much; and by the packets, each of which holds many events.
 */

/** A commit is cut near here; the topic takes 8 MiB, so that what a last step adds still fits. */
export const COMMIT_CUT_BYTES = 2 * 1024 * 1024
export const COMMIT_CUT_ROWS = 8192
const COMMIT_CUT_RECORDS = 32_768
const COMMIT_CUT_PACKET_BYTES = 4 * 1024 * 1024
/** What a changed row is taken to cost before any was written: a task that starts anew begins with small commits. */
const ROW_UNKNOWN_BYTES = 8 * 1024
/** And at least. */
const ROW_LEAST_BYTES = 160
/** Fewer rows say nothing about the next ones. */
const LEARN_FROM_ROWS = 64

export class CommitSize {
  private records = 0
  private packetBytes = 0
  private bytesPerRow = ROW_UNKNOWN_BYTES
  private learnt = false

  tookRecord(): void {
    this.records++
  }

  tookPacket(bytes: number): void {
    this.packetBytes += bytes
  }

  /** `rows` have changed; `bytes` stand in the outbox already. */
  full(rows: number, bytes: number): boolean {
    return (
      rows >= COMMIT_CUT_ROWS ||
      this.records >= COMMIT_CUT_RECORDS ||
      this.packetBytes >= COMMIT_CUT_PACKET_BYTES ||
      bytes + rows * this.bytesPerRow >= COMMIT_CUT_BYTES
    )
  }

  /** A commit of so many changed rows was made; `bytes` of its batch came with them. */
  committed(rows: number, bytes: number): void {
    this.records = 0
    this.packetBytes = 0
    if (rows < LEARN_FROM_ROWS) return
    // up at once, down slowly: a commit too large costs more than one too many
    const before = this.learnt ? this.bytesPerRow * 0.9 : 0
    this.bytesPerRow = Math.max(ROW_LEAST_BYTES, bytes / rows, before)
    this.learnt = true
  }
}
