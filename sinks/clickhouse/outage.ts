/** What is being waited for, by table; one log line when the first waits and one when none does any more. */
import type { Clock } from '../../streams/clock.ts'
import type { Logger } from '../../streams/log.ts'
import type { Gauge } from '../../streams/metrics.ts'

export class Outage {
  private readonly address: string
  private readonly clock: Clock
  private readonly log: Logger
  private readonly gauge: Gauge
  private readonly failing = new Map<string, { since: number; reason: string }>()
  /** Since when some table waits. */
  private since = 0

  constructor(address: string, clock: Clock, log: Logger, gauge: Gauge) {
    this.address = address
    this.clock = clock
    this.log = log
    this.gauge = gauge
  }

  failed(table: string, reason: string): void {
    const known = this.failing.get(table)
    if (known) {
      known.reason = reason
      return
    }
    this.failing.set(table, { since: this.clock.now(), reason })
    if (this.failing.size > 1) return
    this.since = this.clock.now()
    this.gauge.set(1)
    this.log.warn(
      { table, address: this.address, reason },
      'ClickHouse does not take rows: waiting',
    )
  }

  over(table: string): void {
    if (!this.failing.delete(table) || this.failing.size > 0) return
    this.gauge.set(0)
    const waitedMs = this.clock.now() - this.since
    this.log.info({ address: this.address, waitedMs }, 'ClickHouse takes rows again')
  }

  waiting(): string | undefined {
    const oldest = [...this.failing].sort((a, b) => a[1].since - b[1].since)[0]
    if (!oldest) return undefined
    const [table, { since, reason }] = oldest
    const at = new Date(since).toISOString().slice(11, 19)
    return `ClickHouse ${this.address} for ${table} since ${at} (${reason.split('\n')[0].slice(0, 200)})`
  }
}
