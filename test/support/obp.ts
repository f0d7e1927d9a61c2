/** The Open Bandit Pipeline (obp) as an oracle: its estimator modules as they are, without what only its datasets need. */
import { runPython } from './python.ts'

/**
 * obp's wheel asks for Python below 3.10 and for torch, scikit-learn and more; its estimators use numpy, and of scikit-learn
 * argument checks alone. So it is installed without its dependencies, and what is imported and not used is stood in for.
 */
const packages = ['numpy==2.2.6', 'scipy==1.15.3', 'pandas==2.3.3', '--no-deps obp==0.5.5']

const prelude = `
import sys, json, types, os, importlib, warnings
warnings.simplefilter('ignore')
class Stub(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith('__'): raise AttributeError(name)
        return type(name, (), {'__init__': lambda self, *a, **k: None})
def stub(name):
    module = Stub(name); module.__path__ = []; sys.modules[name] = module; return module
for name in ['sklearn', 'sklearn.utils', 'torch']: stub(name)
import numpy as np
sys.modules['sklearn.utils'].check_scalar = lambda *a, **k: None
sys.modules['sklearn.utils'].check_random_state = lambda seed: np.random.RandomState(seed)
base = next(p + '/obp' for p in sys.path if os.path.isdir(p + '/obp'))
for name, folder in [('obp', ''), ('obp.ope', '/ope')]:
    module = types.ModuleType(name); module.__path__ = [base + folder]; sys.modules[name] = module
E = importlib.import_module('obp.ope.estimators')
S = importlib.import_module('obp.ope.estimators_slate')
H = importlib.import_module('obp.ope.helper')
A = lambda x, t=float: np.array(x, dtype=t)
`

/** Runs a script that has obp's estimators as E, its slate estimators as S, its helpers as H, and prints JSON. */
export function runObp(script: string, input: unknown): unknown {
  // the wheel is plain Python and asks for no later than 3.9
  process.env.PIP_IGNORE_REQUIRES_PYTHON = '1'
  return runPython(`${prelude}\n${script}`, input, packages, 'obp')
}
