import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { labelsOptions, labelTimes } from './options.ts'
import { feedbackBit, type Objectives, type Outcome, targetOf } from './target.ts'

const only: Objectives = { click: 0, graded: 0, completion: 0, return1d: 0 }
const nothing: Outcome = {
  clicked: false,
  quantile: 0,
  completed: false,
  returned: false,
  feedback: 0,
}

const optionsOf = (flags: Record<string, string>) =>
  resolveOptions(labelsOptions, { flags, environment: {}, file: {} }).values

describe('a target', () => {
  it.each([
    ['nothing came of it', { graded: 1 }, nothing, 0],
    ['one objective', { graded: 0.4 }, { ...nothing, quantile: 0.25 }, 0.25],
    ['two objectives', { graded: 1, completion: 0.25 }, { ...nothing, quantile: 0.5 }, 0.4],
    [
      'all of them',
      { click: 0.1, graded: 0.4, completion: 0.3, return1d: 0.2 },
      { ...nothing, clicked: true, quantile: 0.5, completed: true, returned: true },
      0.8,
    ],
    ['a like', { graded: 1 }, { ...nothing, quantile: 0.5, feedback: feedbackBit('like') }, 0.75],
    [
      'more than all',
      { graded: 1 },
      { ...nothing, quantile: 0.9, feedback: feedbackBit('like') },
      1,
    ],
    [
      'a hidden item',
      { graded: 1 },
      { ...nothing, quantile: 0.9, feedback: feedbackBit('hide') },
      0,
    ],
    [
      'kinds that add up',
      { graded: 1 },
      { ...nothing, quantile: 0.5, feedback: feedbackBit('like') | feedbackBit('dislike') },
      0.35,
    ],
  ] as const)('of %s', (_, objectives, outcome, expected) => {
    const feedback = { like: 0.25, dislike: -0.4, hide: -1 }
    expect(targetOf(outcome, { ...only, ...objectives }, feedback)).toBeCloseTo(expected, 12)
  })
})

describe('the options', () => {
  it('name weights; what is not named has none', () => {
    const options = optionsOf({
      'labels.objectives': 'click=.2, return1d=1',
      'labels.feedback': 'save=.1,report=-0.5',
    })
    expect(options['labels.objectives']).toEqual({ ...only, click: 0.2, return1d: 1 })
    expect(options['labels.feedback']).toMatchObject({ save: 0.1, report: -0.5, like: 0 })
    expect(labelTimes(options).returnWithinMs).toBe(86_400_000)
    expect(labelTimes(optionsOf({})).returnWithinMs).toBe(0)
  })

  it.each(['grade=1', 'graded=2', 'graded=-1', 'graded', 'graded=', 'graded=0', ''])(
    'refuse objectives %j',
    given => {
      expect(() => optionsOf({ 'labels.objectives': given })).toThrow(/labels\.objectives.*graded/)
    },
  )

  it('refuse a kind of feedback that there is not', () => {
    expect(() => optionsOf({ 'labels.feedback': 'love=1' })).toThrow(/labels\.feedback.*like/)
  })
})
