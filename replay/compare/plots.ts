/** Plots as SVG texts that stand in a page: no script, colours by the page's CSS classes, a title on each mark. */

const width = 640

/** A text as HTML and SVG may hold it, in attributes too. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

/** Three significant digits, without an exponent where that is short. */
export function digits(value: number, most = 3): string {
  if (value === 0 || !Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1_000_000 || size < 0.0001) return value.toExponential(most - 1)
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return String(Number(value.toPrecision(most)))
}

function svg(height: number, label: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(label)}">${parts.join('')}</svg>`
}

function text(x: number, y: number, content: string, anchor = 'start', kind = 'tick'): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" class="${kind}">${escaped(content)}</text>`
}

const round = (x: number): number => Math.round(x * 100) / 100
const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${kind}"/>`
const box = (x: number, y: number, w: number, h: number, kind: string, title: string): string =>
  `<rect x="${round(x)}" y="${round(y)}" width="${round(Math.max(0, w))}" height="${round(Math.max(0, h))}" class="${kind}"><title>${escaped(title)}</title></rect>`

/** Counts of equal bins between 0 and 1. @param marks lines at values, each with its name. */
export function histogram(
  bins: readonly number[],
  label: string,
  marks: readonly { readonly at: number; readonly name: string }[] = [],
): string {
  const plot = { left: 48, right: width - 12, top: 40, bottom: 190 }
  const most = Math.max(1, ...bins)
  const step = (plot.right - plot.left) / bins.length
  const x = (value: number): number => plot.left + value * (plot.right - plot.left)
  const y = (n: number): number => plot.bottom - (n / most) * (plot.bottom - plot.top)
  const parts = [0, 0.5, 1].flatMap(share => [
    line(plot.left, y(share * most), plot.right, y(share * most), 'grid'),
    text(plot.left - 6, y(share * most) + 4, digits(Math.round(share * most)), 'end'),
  ])
  for (const [k, n] of bins.entries())
    parts.push(
      box(
        plot.left + k * step + 1,
        y(n),
        step - 2,
        plot.bottom - y(n),
        'mark replay',
        `${digits(k / bins.length)} to ${digits((k + 1) / bins.length)}: ${digits(n)}`,
      ),
    )
  for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1])
    parts.push(text(x(tick), plot.bottom + 18, digits(tick), 'middle'))
  for (const [k, { at, name }] of marks.entries())
    parts.push(
      line(x(at), 6 + k * 15, x(at), plot.bottom, 'rule'),
      text(x(at) + (at > 0.5 ? -4 : 4), 15 + k * 15, name, at > 0.5 ? 'end' : 'start', 'name'),
    )
  return svg(218, label, parts)
}

/** Shares as bars. @param least a line where what is held begins. */
export function shareBars(
  rows: readonly { readonly name: string; readonly share: number; readonly note: string }[],
  label: string,
  least: number | null = null,
): string {
  const plot = { left: 150, right: width - 180, row: 20, top: 8 }
  const x = (share: number): number => plot.left + share * (plot.right - plot.left)
  const height = plot.top + rows.length * plot.row
  const parts = [0, 0.25, 0.5, 0.75, 1].flatMap(share => [
    line(x(share), plot.top, x(share), height, 'grid'),
    text(x(share), height + 16, `${share * 100}%`, 'middle'),
  ])
  for (const [k, { name, share, note }] of rows.entries()) {
    const top = plot.top + k * plot.row
    parts.push(
      text(plot.left - 8, top + 14, name, 'end', 'name'),
      box(
        plot.left,
        top + 4,
        x(share) - plot.left,
        plot.row - 8,
        'mark replay',
        `${name}: ${note}`,
      ),
      text(plot.right + 8, top + 14, note),
    )
  }
  if (least !== null) parts.push(line(x(least), plot.top, x(least), height, 'rule'))
  return svg(height + 26, label, parts)
}

export interface BeforeAfter {
  readonly name: string
  readonly before: number
  readonly after: number
  readonly intervalBefore: readonly [number, number] | null
  readonly intervalAfter: readonly [number, number] | null
}

/** Two values a row with their intervals, each row on a scale of its own: metrics have different units. */
export function beforeAfter(rows: readonly BeforeAfter[], label: string): string {
  const plot = { left: 150, right: width - 150, row: 34, top: 6 }
  const parts: string[] = []
  for (const [k, row] of rows.entries()) {
    const ends = [
      row.before,
      row.after,
      ...(row.intervalBefore ?? []),
      ...(row.intervalAfter ?? []),
    ]
    const low = Math.min(...ends)
    const span = Math.max(...ends) - low
    const x = (value: number): number =>
      span > 0
        ? plot.left + ((value - low) / span) * (plot.right - plot.left)
        : (plot.left + plot.right) / 2
    const top = plot.top + k * plot.row
    parts.push(
      text(plot.left - 8, top + 20, row.name, 'end', 'name'),
      line(plot.left, top + plot.row, plot.right, top + plot.row, 'grid'),
      text(plot.right + 8, top + 20, `${digits(row.before, 4)} → ${digits(row.after, 4)}`),
    )
    for (const [value, interval, dy, kind] of [
      [row.before, row.intervalBefore, 11, 'with'],
      [row.after, row.intervalAfter, 23, 'replay'],
    ] as const) {
      const title = `${row.name}, ${kind === 'with' ? 'before' : 'after'}: ${digits(value)}${interval ? ` [${digits(interval[0])}, ${digits(interval[1])}]` : ''}`
      if (interval)
        parts.push(line(x(interval[0]), top + dy, x(interval[1]), top + dy, `range ${kind}`))
      parts.push(
        `<circle cx="${round(x(value))}" cy="${top + dy}" r="4" class="mark ${kind}"><title>${escaped(title)}</title></circle>`,
      )
    }
  }
  return svg(plot.top + rows.length * plot.row + 8, label, parts)
}

/** Lines over time, one a series; classes `series-0` to `series-3`. */
export function timeLines(
  points: readonly { readonly series: string; readonly at: number; readonly value: number }[],
  label: string,
): string {
  const names = [...new Set(points.map(({ series }) => series))]
  const plot = { left: 60, right: width - 12, top: 14, bottom: 190 }
  const from = Math.min(...points.map(({ at }) => at))
  const to = Math.max(...points.map(({ at }) => at))
  const most = Math.max(...points.map(({ value }) => value))
  const scale = most > 0 ? most : 1
  const x = (at: number): number =>
    to > from
      ? plot.left + ((at - from) / (to - from)) * (plot.right - plot.left)
      : (plot.left + plot.right) / 2
  const y = (value: number): number => plot.bottom - (value / scale) * (plot.bottom - plot.top)
  const parts = [0, 0.5, 1].flatMap(share => [
    line(plot.left, y(share * scale), plot.right, y(share * scale), 'grid'),
    text(plot.left - 6, y(share * scale) + 4, digits(share * scale), 'end'),
  ])
  for (const [at, anchor] of [
    [from, 'start'],
    [to, 'end'],
  ] as const)
    parts.push(text(x(at), plot.bottom + 18, minute(at), anchor))
  for (const [k, name] of names.entries()) {
    const own = points.filter(({ series }) => series === name)
    const path = own.map(({ at, value }) => `${round(x(at))},${round(y(value))}`).join(' ')
    parts.push(`<polyline points="${path}" class="series series-${k % 4}"/>`)
    for (const { at, value } of own)
      parts.push(
        `<circle cx="${round(x(at))}" cy="${round(y(value))}" r="2.5" class="dot series-${k % 4}"><title>${escaped(`${name}, ${minute(at)}: ${digits(value)}`)}</title></circle>`,
      )
    const left = plot.left + k * 140
    parts.push(
      line(left, plot.bottom + 36, left + 18, plot.bottom + 36, `series series-${k % 4}`),
      text(left + 24, plot.bottom + 40, name, 'start', 'name'),
    )
  }
  return svg(240, label, parts)
}

/** To the minute, UTC. */
export function minute(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
}
