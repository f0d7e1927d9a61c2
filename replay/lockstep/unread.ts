/**
 * What nobody reads in lockstep is not written: nothing is restored here, and no table follows these rows. The curvature of
 * the blend is 37 KB and due once a minute of event time: in a log with an event a minute, with every event.
 */
import type { TaskKind } from '../../streams/topology/stage.ts'

/** `<kind>.<store>`; each writes a value that is a function of the state alone and changes nothing. */
const unread = new Set(['learner.blend-state'])

/** The same kind, writing empty rows where nobody reads them. */
export function withoutUnread(kind: TaskKind): TaskKind {
  return {
    ...kind,
    create(ctx) {
      const logic = kind.create(ctx)
      for (const { stores = [] } of logic.stages)
        for (const { spec } of stores)
          if (unread.has(`${kind.name}.${spec.name}`)) spec.writeValue = () => {}
      return logic
    },
  }
}
