/** The rules that hold where no file says otherwise, each with its reason. The file changes or switches them off by name. */
import type { OptionValues } from '../../streams/options.ts'
import type { driftOptions } from '../drift/options.ts'
import type { GivenRule } from './rule-file.ts'

export type DriftAlertOptions = Pick<
  OptionValues<typeof driftOptions>,
  'drift.minPsi' | 'drift.alert.raise' | 'drift.alert.clear'
>

interface DefaultRule {
  readonly rule: GivenRule
  /** Why it is there, and why these numbers. */
  readonly why: string
}

export function defaultRules(options: DriftAlertOptions): readonly DefaultRule[] {
  const clear = options['drift.alert.clear']
  const psi = {
    table: 'drift',
    where: { profile: 'freshet', statistic: 'psi' },
    column: 'value',
    above: 'threshold',
    atLeast: options['drift.minPsi'],
    clear,
  } as const
  return [
    {
      rule: { ...psi, name: 'drift_1m', window: '1m', raise: options['drift.alert.raise'] },
      why: "a distribution moved: more than chance explains (the row's threshold) and enough to matter (drift.minPsi). Two minutes in a row, since one may be a burst",
    },
    {
      rule: { ...psi, name: 'drift_1h', window: '1h', raise: 1 },
      why: 'the same of hours, which see smaller moves; an hour has no bursts to wait for',
    },
    {
      rule: { ...psi, name: 'drift_1d', window: '1d', raise: 1 },
      why: 'the same of days: what creeps in slower than an hour shows',
    },
    {
      rule: {
        name: 'new_categories',
        table: 'drift',
        where: { profile: 'freshet', statistic: 'new_category_rate' },
        column: 'value',
        window: '1h',
        above: 0.01,
        minN: 1_000,
        raise: 1,
        clear,
      },
      why: 'a category that the reference never saw in over 1% of an hour: an app version, a device, a producer that spells differently. PSI joins rare categories and may miss it',
    },
    {
      rule: {
        name: 'calibration',
        table: 'calibration',
        // lists without a pushed model: the blend's scores rank and are no probabilities
        where: { segment: '', model: ['!~none', '!~other'] },
        column: 'expected_observed',
        window: '1h',
        outside: [0.8, 1.25],
        minN: 1_000,
        raise: 2,
        clear: 3,
      },
      why: 'a model that promises a quarter more, or less, than comes. At 1,000 examples and a tenth of positives chance alone moves the ratio by a tenth',
    },
    {
      rule: {
        name: 'ctr_drop',
        table: 'quality',
        where: { metric: 'ctr', segment: '' },
        column: 'value',
        window: '1h',
        drop: 0.3,
        against: 24,
        minN: 1_000,
        raise: 2,
        clear: 3,
      },
      why: 'clicks fall by a third against the day before, and the interval agrees: a broken list, image or click event. 24 hours hold one of each hour of the day',
    },
    {
      rule: {
        name: 'watch_time_drop',
        table: 'quality',
        where: { metric: 'watch_time', segment: '' },
        column: 'value',
        window: '1h',
        drop: 0.3,
        against: 24,
        minN: 1_000,
        raise: 2,
        clear: 3,
      },
      why: 'the same of watch time: playback that breaks off, or lists that please the finger and not the viewer',
    },
    {
      rule: {
        name: 'srm',
        table: 'experiments',
        column: 'srm_p',
        below: 0.001,
        raise: 2,
        clear: 3,
      },
      why: "arms that are not as large as they were dealt: something loses one arm's users, and no effect of the experiment can be believed. p < .001 as is usual, twice, since it is looked at often",
    },
    {
      rule: {
        name: 'experiment_stop',
        table: 'experiments',
        where: { metric: 'verdict' },
        column: 'guardrail_verdict',
        is: 'stop',
        raise: 1,
        clear: 3,
      },
      why: 'an arm fails a guardrail or is surely worse. Its intervals hold however often one looks, so once is enough',
    },
    {
      rule: {
        name: 'freshness_p99',
        table: 'pipeline',
        where: { topology: 'user' },
        column: 'freshness_p99',
        above: 1_000,
        raise: 6,
        clear: 6,
      },
      why: 'lists and session features are promised within a second. A minute (6 rows of pipeline.interval), so that a rebalance does not wake anybody',
    },
    {
      rule: {
        name: 'lag',
        table: 'pipeline',
        column: 'lag',
        above: 10_000,
        raise: 6,
        clear: 6,
      },
      why: 'records wait: nothing fresh comes out where nothing is taken in, and then freshness has no figure. 10,000 are seconds of work for one core',
    },
  ]
}
