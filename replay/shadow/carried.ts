/**
 * What a task's stages hold in memory alone, by rule, and exact rows still come of (`Stage.carry`): it stands beside the task's
 * log in each checkpoint, so that a replay that was paused or killed goes on as if it had not been.
 */
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Stage, TaskKind } from '../../streams/topology/stage.ts'

export class Carried {
  private stages: readonly Stage[] = []

  /** The kind as a core is to be given it. */
  of(kind: TaskKind): TaskKind {
    return {
      ...kind,
      create: ctx => {
        const logic = kind.create(ctx)
        this.stages = logic.stages
        return logic
      },
    }
  }

  /** base64. */
  carry(): string | undefined {
    const w = new ByteWriter(256)
    for (const stage of this.stages) {
      if (!stage.carry) continue
      const own = new ByteWriter(256)
      stage.carry(own)
      w.string(stage.name).blob(own.bytes())
    }
    return w.length === 0 ? undefined : w.bytes().toString('base64')
  }

  /** What a stage that does not run any more has left is let go. */
  take(text: string | undefined): void {
    if (text === undefined) return
    const r = new ByteReader(Buffer.from(text, 'base64'))
    while (r.left > 0) {
      const name = r.string()
      const own = new ByteReader(r.blob())
      this.stages.find(stage => stage.name === name)?.carried?.(own)
    }
  }
}
