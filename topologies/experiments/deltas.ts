/**
 * What user tasks send to statistic tasks: how the sums of arms changed, by when (event time of the source partition, to the
 * interval). Payload, to its end: time (ms), experiment, arm, sums.
 */
import type { ByteReader } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { DeltaChannel, Outbox } from '../../streams/topology/outbox.ts'
import { statisticsKind } from '../drift/deltas.ts'
import { ArmSums } from './sums.ts'

export const experimentsChannel: DeltaChannel = {
  id: 44,
  name: 'experiments',
  to: statisticsKind,
}

/** Gathers changes until the commit. */
export class DeltaBuffer {
  /** Times that the next packet holds. */
  get times(): number {
    return this.byTime.size
  }

  private readonly byTime = new Map<number, Map<string, Map<string, ArmSums>>>()

  /** The sums of changes by `time`. */
  at(time: number, experiment: string, arm: string): ArmSums {
    const byArm = child(child(this.byTime, time), experiment)
    let sums = byArm.get(arm)
    if (sums === undefined) {
      sums = new ArmSums()
      byArm.set(arm, sums)
    }
    return sums
  }

  /** Writes what was gathered, each experiment to its partition, and starts anew. */
  flush(out: Outbox, partitions: number): void {
    for (const [time, byExperiment] of this.byTime)
      for (const [experiment, byArm] of byExperiment)
        for (const [arm, sums] of byArm) {
          if (sums.isZero) continue
          const packet = out.delta(experimentsChannel, partitionOfText(experiment, partitions))
          sums.write(packet.uint(time).string(experiment).string(arm))
        }
    this.byTime.clear()
  }
}

function child<K, A, B>(map: Map<K, Map<A, B>>, key: K): Map<A, B> {
  let found = map.get(key)
  if (found === undefined) {
    found = new Map()
    map.set(key, found)
  }
  return found
}

export function readDeltas(
  payload: ByteReader,
  take: (time: number, experiment: string, arm: string, sums: ArmSums) => void,
): void {
  while (payload.left > 0)
    take(payload.uint(), payload.string(), payload.string(), ArmSums.read(payload))
}
