/** What is followed through time: a subject in a segment, in windows of one size. */
export interface SeriesId {
  readonly subject: string
  readonly segment: string
  readonly size: number
}

export const seriesKey = ({ subject, segment, size }: SeriesId): string =>
  `${subject}\n${segment}\n${size}`
