/** The options in effect in a replay. */

import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { resolveOptions } from '../../streams/options.ts'
import { allOptions } from '../all-options.ts'
import type { Values } from '../call.ts'

/** `freshet:` becomes `freshet@NAME:`. */
export function shadowPrefix(livePrefix: string, name: string): string {
  return `${livePrefix.replace(/[:.]$/, '')}@${name}${livePrefix.slice(-1) === '.' ? '.' : ':'}`
}

/** Those of the call, with what the replay was started with, writing into its own places. */
export function replayValues(values: Values, spec: ReplaySpec): Values {
  const { values: set } = resolveOptions(allOptions, {
    flags: spec.set,
    environment: {},
    file: {},
  })
  const given = Object.fromEntries(Object.keys(spec.set).map(name => [name, set[name as never]]))
  return {
    ...values,
    ...given,
    topologies: spec.topologies,
    'redis.prefix': shadowPrefix(values['redis.prefix'], spec.name),
    // the live system has published them
    'session.features': false,
    // an impression names a list of the live system, which is not known here; a backfill keeps what was served
    'served.recompute': spec.backfill === null,
  } as Values
}

/** Which of `of` processes a task is in. */
export function partOf(
  kind: string,
  partition: number,
  counts: ReadonlyMap<string, number>,
  of: number,
): number {
  // what there is one of stands beside the fewest others
  return (counts.get(kind) ?? 1) === 1 ? of - 1 : partition % of
}
