/**
 * Which candidates the rules that may give way leave at a position (rules.ts, 2 to 4). A function of the items above alone,
 * so that p stays exact.
 *
 *  - N1 a rule that would leave nothing leaves all: no rule of these ends a list.
 *  - N2 floors look ahead: where the positions up to some L are just enough for what is still missing by then, only what is
 *       missing may be drawn. So floors whose shares sum to 1 at most are all kept, as long as candidates are left.
 *
 * Costs a pass or two over the candidates at positions where a rule bites, and nothing where none is declared.
 */
import { EXPLORED, FRESH, type SlateRules, type Traits } from './rules.ts'

interface Need {
  readonly mark: number
  /** Items with the mark above. */
  count: number
  /** Candidates left with the mark. */
  left: number
  /** Items with the mark that the first L positions must have, by L. */
  readonly required: readonly number[]
}

export class Narrowing {
  /** 1 where a candidate may be drawn; read only where `active`. */
  readonly open: Uint8Array
  active = false
  private readonly needs: readonly Need[]
  private readonly rules: SlateRules
  private runTopic = -1
  private run = 0
  private explored = 0

  constructor(rules: SlateRules, capacity: number) {
    this.rules = rules
    this.open = new Uint8Array(capacity)
    this.needs = needsOf(rules)
  }

  begin(): void {
    this.runTopic = -1
    this.run = 0
    this.explored = 0
    for (const need of this.needs) need.count = 0
  }

  /** No more may be explored in this list. */
  get spent(): boolean {
    return this.explored >= this.rules.exploreMost
  }

  /** Before a draw. `value` is -Infinity for those that are gone: picked or capped. */
  narrow(position: number, traits: Traits, value: Float64Array): void {
    const { rules } = this
    this.active = false
    if (this.spent) this.bar(traits, value, EXPLORED)
    if (this.needs.length > 0) this.keepFloors(position, traits, value)
    if (rules.topicRun > 0 && this.run >= rules.topicRun && this.runTopic !== -1)
      this.barTopic(traits, value, this.runTopic)
  }

  /** After a draw. */
  picked(pick: number, explored: boolean, traits: Traits): void {
    const topic = traits.topic[pick]
    this.run = topic !== -1 && topic === this.runTopic ? this.run + 1 : 1
    this.runTopic = topic
    const marks = traits.marks[pick]
    if (explored || (marks & EXPLORED) !== 0) this.explored++
    for (const need of this.needs) if ((marks & need.mark) !== 0) need.count++
  }

  private keepFloors(position: number, traits: Traits, value: Float64Array): void {
    const { needs, rules } = this
    this.countLeft(traits, value)
    for (let length = position + 1; length <= rules.size; length++) {
      const slots = length - position
      let missing = 0
      let marks = 0
      for (let g = 0; g < needs.length && missing < slots; g++) {
        const { count, left, required, mark } = needs[g]
        const short = Math.min(required[length] - count, left)
        if (short <= 0) continue
        missing += short
        marks |= mark
      }
      if (missing < slots) continue
      this.keep(traits, value, marks)
      return
    }
  }

  private countLeft(traits: Traits, value: Float64Array): void {
    const { needs, open, active } = this
    for (const need of needs) need.left = 0
    for (let i = 0; i < traits.count; i++) {
      const marks = traits.marks[i]
      if (marks === 0 || value[i] === Number.NEGATIVE_INFINITY || (active && open[i] === 0))
        continue
      for (let g = 0; g < needs.length; g++) if ((marks & needs[g].mark) !== 0) needs[g].left++
    }
  }

  /** Leaves candidates with one of the marks, of which there are some. */
  private keep(traits: Traits, value: Float64Array, marks: number): void {
    this.activate(traits, value)
    const { open } = this
    for (let i = 0; i < traits.count; i++) if ((traits.marks[i] & marks) === 0) open[i] = 0
  }

  private bar(traits: Traits, value: Float64Array, mark: number): void {
    const { marks } = traits
    let any = false
    for (let i = 0; i < traits.count && !any; i++)
      any = value[i] !== Number.NEGATIVE_INFINITY && (marks[i] & mark) === 0
    if (!any) return
    this.activate(traits, value)
    const { open } = this
    for (let i = 0; i < traits.count; i++) if ((marks[i] & mark) !== 0) open[i] = 0
  }

  private barTopic(traits: Traits, value: Float64Array, barred: number): void {
    const { open, active } = this
    const { topic, count } = traits
    let any = false
    for (let i = 0; i < count && !any; i++)
      any =
        topic[i] !== barred && value[i] !== Number.NEGATIVE_INFINITY && (!active || open[i] === 1)
    if (!any) return
    this.activate(traits, value)
    for (let i = 0; i < count; i++) if (topic[i] === barred) open[i] = 0
  }

  private activate(traits: Traits, value: Float64Array): void {
    if (this.active) return
    this.active = true
    const { open } = this
    for (let i = 0; i < traits.count; i++) open[i] = value[i] === Number.NEGATIVE_INFINITY ? 0 : 1
  }
}

function needsOf({ floors, fresh, size }: SlateRules): readonly Need[] {
  const upTo = (required: (length: number) => number): readonly number[] =>
    Array.from({ length: size + 1 }, (_, length) => required(length))
  const needs: Need[] = floors.map(({ mark, share, after }) => ({
    mark,
    count: 0,
    left: 0,
    required: upTo(length => (length > after ? floorOfShare(share, length) : 0)),
  }))
  if (fresh !== null) {
    const by = Math.min(fresh.ofFirst, size)
    needs.push({
      mark: FRESH,
      count: 0,
      left: 0,
      required: upTo(length => (length === by ? fresh.atLeast : 0)),
    })
  }
  return needs
}

/** .2 of 15 is 3, whatever 15 x .2 is in binary. */
function floorOfShare(share: number, length: number): number {
  return Math.floor(share * length + 1e-9)
}
