/**
 * Sends already encoded commands over ioredis' connection and hears their replies from ioredis' parser.
 *
 * ioredis' public `sendCommand` takes any Command, writes what its `toWritable` gives and queues it for one reply. One
 * Command object stands here for all commands of a batch: it is queued once per command, and only the first time writes
 * anything, the bytes of all. All of it happens in one turn of the event loop, so nothing can come between. Reconnecting
 * must never resend single commands of a batch: the connection is made with `autoResendUnfulfilledCommands: false` and
 * `maxRetriesPerRequest: 0`, by which every queued command is rejected when the connection closes.
 */
import { Command, type Redis } from 'ioredis'

export interface BatchReply {
  /** How many replies were the integer 0, 1, 2, 3. */
  readonly counts: [number, number, number, number]
  /** Commands answered with an error, by their number in the batch. */
  readonly errors: { readonly index: number; readonly error: Error }[]
}

/** Takes what later queueings of a batch would write: nothing. */
const nowhere = { write: () => true } as unknown as NodeJS.WritableStream

class EncodedBatch extends Command {
  private bytes: string
  private readonly count: number
  private answered = 0
  private readonly reply: BatchReply = { counts: [0, 0, 0, 0], errors: [] }
  readonly done: Promise<BatchReply>

  constructor(bytes: string, count: number) {
    super('evalsha', [])
    this.bytes = bytes
    this.count = count
    this.isTraced = true
    let finish: (reply: BatchReply) => void
    this.done = new Promise(resolve => {
      finish = resolve
    })
    const step = (): void => {
      if (++this.answered === this.count) finish(this.reply)
    }
    this.resolve = (value: unknown) => {
      if (typeof value === 'number' && value < 4) this.reply.counts[value]++
      step()
    }
    this.reject = error => {
      this.reply.errors.push({ index: this.answered, error })
      step()
    }
  }

  override toWritable(): string {
    const bytes = this.bytes
    this.bytes = ''
    return bytes
  }
}

/** Resolves when every command has its reply or the connection is lost; never rejects. The connection must be ready. */
export function sendBatch(node: Redis, bytes: string, count: number): Promise<BatchReply> {
  const batch = new EncodedBatch(bytes, count)
  node.sendCommand(batch)
  for (let i = 1; i < count; i++) node.sendCommand(batch, nowhere as never)
  return batch.done
}
