/** The state machine of an alarm: so many windows in a row over the threshold raise it, so many under it end it. */
export interface Alarm {
  /** Windows in a row over (positive) or, while it is raised, under (negative) the threshold. */
  run: number
  /** Start of the first window of the run that raised it, or may; 0: none. */
  since: number
  raised: boolean
  /** Start of the newest window seen: windows that come late do not go back. */
  newest: number
}

export const quiet = (): Alarm => ({ run: 0, since: 0, raised: false, newest: -1 })

/** Takes in the window that starts at `start`. A window that could not be judged is not shown to it. */
export function step(
  alarm: Alarm,
  start: number,
  over: boolean,
  raiseAfter: number,
  clearAfter: number,
): 'raised' | 'cleared' | undefined {
  if (start <= alarm.newest) return undefined
  alarm.newest = start
  if (!alarm.raised) {
    if (!over) {
      alarm.run = 0
      alarm.since = 0
      return undefined
    }
    if (alarm.run === 0) alarm.since = start
    if (++alarm.run < raiseAfter) return undefined
    alarm.raised = true
    alarm.run = 0
    return 'raised'
  }
  alarm.run = over ? 0 : alarm.run - 1
  if (-alarm.run < clearAfter) return undefined
  alarm.raised = false
  alarm.run = 0
  return 'cleared'
}
