/** The options that a run in lockstep needs beside those it is given. */
import type { TopologyOptions } from '../../topologies/options.ts'

/**
 * `immediate`: after each event all that follows from it is committed, delivered and applied, whatever the intervals say.
 * `asynchronous`: tasks commit and publish at their real intervals, in event time.
 */
export type Pace = 'immediate' | 'asynchronous'

/** Enough for any catalog: the graph of nearest vectors depends on when it was rebuilt, a look at all does not. */
const ALL = 10_000_000

/**
 * Without what nobody reads here (session hashes, features, `similar`, sampled draws), with exact nearest vectors, and at the
 * immediate pace with every publishing interval and threshold at 0.
 */
export function lockstepOptions(options: TopologyOptions, pace: Pace): TopologyOptions {
  const quiet = {
    'session.views': false,
    'session.features': false,
    'covisit.similar': false,
    'labels.examples': false,
    'slates.share': 0,
    'ann.bruteForceBelow': ALL,
  }
  const held = pace === 'immediate' ? Object.keys(options).filter(isInterval) : []
  const atOnce = pace === 'immediate' ? { 'topk.policies': withoutIntervals(options) } : {}
  return { ...options, ...quiet, ...Object.fromEntries(held.map(name => [name, 0])), ...atOnce }
}

/** A surface's own interval, or its profile's, counts as `topk.minInterval` does. */
function withoutIntervals(options: TopologyOptions): TopologyOptions['topk.policies'] {
  const file = options['topk.policies']
  const surfaces = Object.entries(file.surfaces).map(([name, surface]) => [
    name,
    { ...surface, minInterval: 0 },
  ])
  return { ...file, surfaces: Object.fromEntries(surfaces) }
}

/** The longest time that a row may wait for its publication, ms. */
export function longestPublishMs(options: TopologyOptions): number {
  const waits = Object.entries(options).filter(([name]) => name.endsWith('.publishInterval'))
  return Math.max(0, ...waits.map(([, ms]) => Number(ms)))
}

const isInterval = (name: string): boolean =>
  /\.publish(Interval|Threshold)$/.test(name) || name === 'topk.minInterval'
