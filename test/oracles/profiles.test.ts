/**
 * Every figure of the tools' profiles against the tool itself, on samples of all shapes: closed forms within 1e-9 and
 * p-values within 1e-6, relative.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { type Figure, isOver } from '../../topologies/drift/figures.ts'
import { evidentlyDataSet } from '../../topologies/drift/profiles/evidently.ts'
import {
  type ProfileName,
  profileFigures,
  profileNames,
} from '../../topologies/drift/profiles/index.ts'
import type { Sample } from '../../topologies/drift/profiles/sample.ts'
import { categoryPairs, golden, numberPairs } from './samples.ts'
import { runTools } from './tools.ts'

/** By pair, tool and statistic: a value, or what Python says instead of one. */
type Answers = Record<ProfileName, Record<string, Answer>>[]
interface Answer {
  readonly value: number | string
  readonly alarm?: boolean
  readonly threshold?: number | string
}

const numbers = numberPairs()
const categories = categoryPairs()
let told: { numbers: Answers; categories: Answers }

beforeAll(() => {
  told = runTools(script, { numbers, categories }) as typeof told
}, 300_000)

const sampleOf = (values: readonly number[] | readonly string[]): Sample =>
  typeof values[0] === 'number'
    ? { kind: 'numbers', values: Float64Array.from(values as number[]) }
    : { kind: 'categories', values: values as string[] }

/** p-values are numeric; a distance of floating-point dust is 0. */
function isClose(statistic: string, ours: number, theirs: number): boolean {
  const relative = statistic.endsWith('_p') ? 1e-6 : 1e-9
  const dust = statistic === 'js' ? 3e-8 : statistic.endsWith('_p') ? 1e-15 : 1e-12
  return Math.abs(ours - theirs) <= Math.max(relative * Math.abs(theirs), dust)
}

function differences(figures: readonly Figure[], answers: Record<string, Answer>): string[] {
  const found: string[] = []
  for (const [statistic, { value, alarm, threshold }] of Object.entries(answers)) {
    const figure = figures.find(each => each.statistic === statistic)
    const say = (what: string) =>
      found.push(`${statistic}: ${what}, ours ${JSON.stringify(figure)}`)
    if (figure === undefined) say('is missing')
    else if (typeof value === 'string') {
      if (figure.value !== null || figure.reason === '') say(`theirs is ${value}`)
    } else if (figure.value === null || !isClose(statistic, figure.value, value))
      say(`theirs is ${value}`)
    else if (alarm !== undefined && isOver(figure) !== alarm) say(`their alarm is ${alarm}`)
    if (typeof threshold === 'number' && !isClose(statistic, figure?.threshold ?? -1, threshold))
      say(`their threshold is ${threshold}`)
  }
  return found
}

describe.each(profileNames)('%s', profile => {
  it.each([
    ['numbers', numbers],
    ['categories', categories],
  ] as const)('%s: equal the tool', (kind, pairs) => {
    const found: string[] = []
    let compared = 0
    pairs.forEach(({ name, reference, current }, i) => {
      const answers = told[kind][i][profile]
      const figures = profileFigures(profile, sampleOf(reference), sampleOf(current))
      compared += Object.values(answers).filter(({ value }) => typeof value === 'number').length
      found.push(...differences(figures, answers).map(each => `${name}: ${each}`))
    })
    expect(found).toEqual([])
    expect(compared).toBeGreaterThan(90)
  })
})

it('missing values: nannyml leaves them out, phoenix counts them', () => {
  const withGaps = (values: readonly number[]) =>
    values.map((value, i) => (i % 7 === 3 ? Number.NaN : value))
  const pair = { reference: withGaps(golden.reference), current: withGaps(golden.current.slice(5)) }
  const given = { numbers: [pair], categories: [] }
  const answers = runTools(script, given) as typeof told
  for (const profile of ['nannyml', 'phoenix'] as const) {
    const figures = profileFigures(profile, sampleOf(pair.reference), sampleOf(pair.current))
    expect(differences(figures, answers.numbers[0][profile])).toEqual([])
  }
})

it('the share of drifted columns is what evidently would say', () => {
  const columns = numbers.map(({ reference, current }) =>
    profileFigures('evidently', sampleOf(reference), sampleOf(current)),
  )
  const drifted = told.numbers.filter(each => each.evidently.drift_score.alarm).length
  const share = evidentlyDataSet(columns)
  expect(share.value).toBeCloseTo(drifted / numbers.length, 12)
  expect(isOver(share)).toBe(drifted / numbers.length >= 0.5)
})

const script = `
from evidently.legacy.calculations import stattests as et
from evidently.legacy.calculations.stattests.registry import _get_default_stattest, _impls
from nannyml.drift.univariate.methods import MethodFactory, FeatureType
from nannyml.thresholds import StandardDeviationThreshold
from nannyml.chunk import DefaultChunker
from phoenix.core.model_schema import Column
from phoenix.metrics import binning, metrics
import frouros.detectors.data_drift as frouros
import scipy.stats

def answer(f):
    try:
        result = f()
    except Exception as error:
        return {'value': type(error).__name__}
    return result if isinstance(result, dict) else {'value': result}

def evidently(r, c, kind):
    def run(test):
        def f():
            func = test.func
            score, drifted = func(r, c, kind, test.default_threshold)
            return {'value': score, 'alarm': bool(drifted)}
        return answer(f)
    out = {'psi': run(et.psi_stat_test), 'kl': run(et.kl_div_stat_test), 'js': run(et.jensenshannon_stat_test)}
    distinct = len(set(r) | set(c))
    if kind == ColumnType.Numerical:
        out['w1'] = run(et.wasserstein_stat_test)
        out['ks_p'] = run(et.ks_stat_test)
        out['ks_d'] = answer(lambda: scipy.stats.ks_2samp(r, c).statistic)
    if kind == ColumnType.Categorical or distinct <= 5: out['chi2_p'] = run(et.chi_stat_test)
    if distinct <= 2: out['z_p'] = run(et.z_stat_test)
    out['drift_score'] = run(_get_default_stattest(r, c, kind))
    return out

def nannyml(r, c, kind):
    names = {'js': 'jensen_shannon', 'hellinger': 'hellinger'}
    if kind == FeatureType.CONTINUOUS: names.update(w1='wasserstein', ks_d='kolmogorov_smirnov')
    else: names.update(l_infinity='l_infinity')
    def run(key):
        def f():
            method = MethodFactory.create(key=key, feature_type=kind, chunker=DefaultChunker(),
                threshold=StandardDeviationThreshold(std_lower_multiplier=None), computation_params={})
            if len(r) < 10:  # its chunks would be empty
                method._fit(r)
                return {'value': method.calculate(c)}
            method.fit(r)
            value = method.calculate(c)
            return {'value': value, 'alarm': bool(method.alert(value)), 'threshold': method.upper_threshold_value}
        return answer(f)
    out = {ours: run(key) for ours, key in names.items()}
    if kind == FeatureType.CATEGORICAL:
        method = MethodFactory.create(key='chi2', feature_type=kind, chunker=DefaultChunker(),
            threshold=StandardDeviationThreshold(std_lower_multiplier=None))
        method._fit(r)
        out['chi2'] = answer(lambda: method.calculate(c))
        out['chi2_p'] = answer(lambda: {'value': method._p_value, 'alarm': bool(method.alert(0))})
    return out

def phoenix(r, c, numeric):
    R, C = pd.DataFrame({'x': r}), pd.DataFrame({'x': c})
    by = {'binning_method': binning.QuantileBinning(reference_series=R['x'])} if numeric else {}
    run = lambda metric: answer(lambda: metric(operand=Column('x'), reference_data=R, **by).calc(C))
    return {'psi': run(metrics.PSI), 'kl': run(metrics.KLDivergence), 'js': run(metrics.JSDistance)}

def fresh(r, c, numeric):
    def compare(detector):
        detector.fit(X=r)
        return detector.compare(X=c)[0]
    run = lambda make: answer(lambda: compare(make()).distance)
    test = lambda make, i: answer(lambda: compare(make())[i])
    if not numeric: return {'chi2': test(frouros.ChiSquareTest, 0), 'chi2_p': test(frouros.ChiSquareTest, 1)}
    return {'psi': run(frouros.PSI), 'hellinger': run(frouros.HellingerDistance),
        'bhattacharyya': run(frouros.BhattacharyyaDistance), 'histogram_intersection': run(frouros.HINormalizedComplement),
        'js': run(frouros.JS), 'kl': run(frouros.KL), 'w1': run(frouros.EMD), 'energy': run(frouros.EnergyDistance),
        'ks_d': test(frouros.KSTest, 0), 'ks_p': test(frouros.KSTest, 1), 'kuiper_p': test(frouros.KuiperTest, 1)}

out = {'numbers': [], 'categories': []}
for pair in given['numbers']:
    r, c = np.array(pair['reference'], dtype=float), np.array(pair['current'], dtype=float)
    R, C = pd.Series(r, name='x'), pd.Series(c, name='x')
    out['numbers'].append({'evidently': evidently(R, C, ColumnType.Numerical), 'nannyml': nannyml(R, C, FeatureType.CONTINUOUS),
        'phoenix': phoenix(r, c, True), 'frouros': fresh(r, c, True)})
for pair in given['categories']:
    r, c = np.array(pair['reference']), np.array(pair['current'])
    R, C = pd.Series(r, name='x', dtype=object), pd.Series(c, name='x', dtype=object)
    out['categories'].append({'evidently': evidently(R, C, ColumnType.Categorical), 'nannyml': nannyml(R, C, FeatureType.CATEGORICAL),
        'phoenix': phoenix(R, C, False), 'frouros': fresh(r, c, False)})
`
