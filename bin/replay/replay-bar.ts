/** A replay's progress on standard error: one line that changes on a terminal, a line every 10 s otherwise. */
import type { ReplayStatus } from '../../replay/shadow/folder.ts'
import { bar, count, durationText, plural, time } from '../terminal.ts'

const LINE_MS = 10_000

export class ReplayBar {
  private readonly name: string
  private readonly isLive = process.stderr.isTTY === true
  private lastAt = 0
  private isOpen = false

  constructor(name: string) {
    this.name = name
  }

  show(status: ReplayStatus): void {
    const now = Date.now()
    if (!this.isLive && now - this.lastAt < LINE_MS) return
    this.lastAt = now
    const line = `${this.name}: ${progressText(status, this.isLive)}`
    process.stderr.write(this.isLive ? `\r\x1b[K${line}` : `${line}\n`)
    this.isOpen = this.isLive
  }

  end(): void {
    if (this.isOpen) process.stderr.write('\n')
    this.isOpen = false
  }
}

/** `███░░ 412,000 of 1,000,000 (12,345/s) at 2026-11-01 10:00:00, 47.6 s left, 3 dead letters`. */
export function progressText(status: ReplayStatus, withBar: boolean): string {
  const { records, total, rate, position, deadLetters, held } = status
  const left = rate > 0 ? `, ${durationText(((total - records) * 1000) / rate)} left` : ''
  return [
    withBar ? `${bar(total === 0 ? 1 : records / total)} ` : '',
    `${count(records)} of ${count(total)} (${count(rate)}/s)`,
    position === null ? '' : ` at ${time(position)}`,
    status.state === 'running' ? left : '',
    `, ${plural(deadLetters, 'dead letter')}`,
    held === null ? '' : `; held by ${held}`,
  ].join('')
}
