/** A part in a process of its own: calls and answers as messages over the pipe that `fork` opens. */
import { type ChildProcess, fork } from 'node:child_process'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { Inbox, ReplayPart, Step, StepReport, TaskMarks } from './steps.ts'

type Method = 'open' | 'step' | 'checkpoint' | 'close'

interface Request {
  readonly id: number
  readonly method: Method
  readonly args: readonly unknown[]
}

type Answer = { readonly id: number } & (
  | { readonly result: unknown }
  | { readonly error: { readonly message: string; readonly code?: string } }
)

interface Waiting {
  resolve(result: unknown): void
  reject(error: unknown): void
}

export class RemotePart implements ReplayPart {
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, Waiting>()
  private next = 0
  private gone: Error | undefined
  private isLetGo = false
  private sending: Promise<void> = Promise.resolve()

  /** `file` and `args`: the program that calls `servePart`; `order`: what it opens its part by. */
  constructor(file: string, args: readonly string[], order: object) {
    this.child = fork(file, [...args], { serialization: 'advanced', execArgv: [] })
    this.child.on('message', (answer: Answer) => this.answered(answer))
    this.child.on('exit', (code, signal) => this.over(`ended (${signal ?? `exit code ${code}`})`))
    // it could not be started, or what was sent to it found it gone before it was known to be
    this.child.on('error', error => {
      if (this.child.pid === undefined) this.over(`can't be started (${messageOf(error)})`)
    })
    // who can't be told anything any more can't be left at work either; its end is told by `exit`
    this.child.on('disconnect', () => {
      if (!this.isLetGo) this.child.kill('SIGKILL')
    })
    this.child.send(order)
  }

  private over(how: string): void {
    this.gone ??= new FreshetError(
      'STALLED',
      `a process of the replay (pid ${this.child.pid}) ${how}; \`freshet replay resume\` goes on from the last checkpoint`,
    )
    for (const { reject } of this.waiting.values()) reject(this.gone)
    this.waiting.clear()
  }

  open(marks: TaskMarks, after: Step | null): Promise<Step | undefined> {
    return this.call('open', marks, after) as Promise<Step | undefined>
  }

  step(step: Step, inbox: Inbox, settle: boolean): Promise<StepReport> {
    return this.call('step', step, inbox, settle) as Promise<StepReport>
  }

  checkpoint(): Promise<TaskMarks> {
    return this.call('checkpoint') as Promise<TaskMarks>
  }

  async close(): Promise<void> {
    if (this.gone) return
    await this.call('close')
    this.isLetGo = true
    this.child.disconnect()
  }

  private call(method: Method, ...args: readonly unknown[]): Promise<unknown> {
    if (this.gone) return Promise.reject(this.gone)
    const id = this.next++
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.sending = new Promise(flushed => {
        // one that can't be sent is told by the child's end
        this.child.send({ id, method, args } satisfies Request, () => flushed())
      })
    })
  }

  flushed(): Promise<void> {
    return this.sending
  }

  private answered(answer: Answer): void {
    const waiting = this.waiting.get(answer.id)
    this.waiting.delete(answer.id)
    if ('result' in answer) waiting?.resolve(answer.result)
    else waiting?.reject(revived(answer.error))
  }
}

function revived({ message, code }: { message: string; code?: string }): Error {
  return code === undefined
    ? new Error(message)
    : new FreshetError(code as FreshetError['code'], message)
}

/**
 * Opens the part that the first message orders, and answers the calls of the process that forked this one. Resolves when that
 * one is done with it: true where it was let go in order and is closed, false where the other was killed. Then it must end at
 * once: what it still did would meet the replay that is resumed.
 */
export async function servePart(
  open: (order: unknown) => Promise<{ readonly part: ReplayPart; close(): Promise<void> }>,
): Promise<boolean> {
  let opened: ReturnType<typeof open> | undefined
  let isLetGo = false
  const answerTo = async ({ method, args }: Request): Promise<unknown> => {
    const { part } = await (opened as ReturnType<typeof open>)
    // the shapes are those of RemotePart, which is the other end
    const call = part[method] as (...given: readonly unknown[]) => Promise<unknown>
    const result = await call.apply(part, [...args])
    if (method === 'close') isLetGo = true
    return result
  }
  process.on('message', (message: unknown) => {
    if (opened === undefined) {
      opened = open(message)
      // its failure is the answer to the first call
      opened.catch(() => undefined)
      return
    }
    const request = message as Request
    const { id } = request
    answerTo(request).then(
      result => process.send?.({ id, result } satisfies Answer),
      error => {
        const code = error instanceof FreshetError ? { code: error.code } : {}
        process.send?.({ id, error: { message: messageOf(error), ...code } } satisfies Answer)
      },
    )
  })
  await new Promise<void>(resolve => process.once('disconnect', resolve))
  if (!isLetGo) return false
  const last = await (opened as ReturnType<typeof open> | undefined)?.catch(() => undefined)
  await last?.close()
  return true
}
