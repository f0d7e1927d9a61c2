/** The demo's picture: redrawn in place on a terminal, a few lines now and then elsewhere. */
import { bar, count, durationText, paint } from '../terminal.ts'
import type { DriftPoint } from './measures.ts'
import type { Moment } from './watched-views.ts'

export interface Picture {
  readonly elapsedMs: number
  readonly totalMs: number
  readonly eventsPerSecond: number
  readonly events: number
  readonly sessionMs: readonly [p50: number, p99: number]
  readonly listMs: readonly [p50: number, p99: number]
  readonly popular: readonly string[]
  readonly popularBefore: readonly string[]
  readonly moment: Moment | undefined
  readonly drift: readonly DriftPoint[]
  readonly driftInjected: boolean
  readonly alarm: boolean
  readonly titleOf: (item: string) => string
}

const PLAIN_EVERY_MS = 5_000
const SPARKS = '▁▂▃▄▅▆▇█'

export class Screen {
  private readonly live = process.stdout.isTTY === true
  private drawnLines = 0
  private lastPlainAt = Number.NEGATIVE_INFINITY

  draw(picture: Picture): void {
    if (!this.live) {
      if (picture.elapsedMs - this.lastPlainAt < PLAIN_EVERY_MS) return
      this.lastPlainAt = picture.elapsedMs
      process.stdout.write(`${plainLine(picture)}\n`)
      return
    }
    const lines = linesOf(picture)
    const up = this.drawnLines > 0 ? `\x1b[${this.drawnLines}A` : ''
    process.stdout.write(`${up}${lines.map(line => `\x1b[2K${line}`).join('\n')}\n`)
    this.drawnLines = lines.length
  }
}

function plainLine(p: Picture): string {
  return `${durationText(p.elapsedMs)}: ${count(p.events)} events, ${count(Math.round(p.eventsPerSecond))}/s; event to session p50 ${durationText(p.sessionMs[0])} p99 ${durationText(p.sessionMs[1])}, to list p50 ${durationText(p.listMs[0])} p99 ${durationText(p.listMs[1])}; ${driftState(p)}`
}

function driftState(p: Picture): string {
  const last = p.drift.at(-1)
  const psi = last ? `PSI of watched_ratio ${last.psi.toFixed(3)}` : 'reference being frozen'
  return `${psi}${p.driftInjected ? ', drift injected' : ''}${p.alarm ? ', ALARM' : ''}`
}

function linesOf(p: Picture): string[] {
  const title = (item: string): string => p.titleOf(item).slice(0, 34)
  const popular = Array.from({ length: 5 }, (_, i) => {
    const item = p.popular[i]
    if (item === undefined) return ''
    const was = p.popularBefore.indexOf(item)
    const move =
      was < 0
        ? paint('green', '● new')
        : was > i
          ? paint('green', `▲ ${was - i}`)
          : was < i
            ? paint('red', `▼ ${i - was}`)
            : ''
    return `${i + 1}. ${title(item).padEnd(36)}${move}`
  })
  const { moment } = p
  const kept = new Set(moment?.before)
  const list = moment
    ? [
        `${moment.user} watched ${paint('bold', title(moment.watched))}; ${paint('green', durationText(moment.tookMs))} later the list was`,
        ...moment.after.map(
          (item, i) =>
            `   ${title(moment.before[i] ?? '').padEnd(36)}${paint('dim', '→')} ${kept.has(item) ? title(item) : paint('green', title(item))}`,
        ),
      ]
    : ['   (waiting for someone to finish something)', '', '', '', '', '']
  return [
    `${paint('bold', 'freshet demo')}  ${bar(p.elapsedMs / p.totalMs)} ${durationText(p.elapsedMs)} of ${durationText(p.totalMs)}`,
    '',
    `${paint('bold', 'Freshness')}   ${count(Math.round(p.eventsPerSecond))} events/s (${count(p.events)} so far)`,
    `   event → session  p50 ${durationText(p.sessionMs[0]).padStart(7)}  p99 ${durationText(p.sessionMs[1]).padStart(7)}`,
    `   event → list     p50 ${durationText(p.listMs[0]).padStart(7)}  p99 ${durationText(p.listMs[1]).padStart(7)}`,
    '',
    paint('bold', 'Popular in the last 5 minutes'),
    ...popular.map(line => `   ${line}`),
    '',
    paint('bold', "A user's list"),
    ...list.map(line => `   ${line}`),
    '',
    `${paint('bold', 'Drift')}   ${driftLine(p)}`,
    '',
  ]
}

function driftLine(p: Picture): string {
  if (p.drift.length === 0) return 'watched_ratio: the reference is being frozen'
  const shown = p.drift.slice(-24)
  const most = Math.max(0.05, ...shown.map(point => point.psi))
  const sparks = shown
    .map(point => SPARKS[Math.min(7, Math.floor((point.psi / most) * 7.99))])
    .join('')
  const last = shown[shown.length - 1]
  const verdict = p.alarm
    ? paint('red', 'ALARM')
    : p.driftInjected
      ? paint('yellow', 'drift was just injected')
      : paint('green', 'quiet')
  return `watched_ratio PSI ${sparks} ${last.psi.toFixed(3)} (threshold ${last.threshold.toFixed(3)})  ${verdict}`
}
