/**
 * The tools themselves, as oracles: scipy, river, frouros, evidently, nannyml and phoenix, side by side in one environment
 * (~530 MB, some 25 s to install). evidently, nannyml and phoenix ask for 2 GB of servers and plots; only their files that
 * compute run here, whole and unchanged: packages' `__init__` files are passed over, and modules for plots, servers and
 * types that these files import but do not compute with are hollow. frouros asks for an older numpy than river does, and
 * runs with river's.
 */
import { runPython } from '../support/python.ts'

const packages = [
  'numpy==2.2.6',
  'scipy==1.14.1',
  'pandas==2.2.3',
  'scikit-learn==1.6.1',
  'narwhals==2.29.0',
  'tqdm==4.67.1',
  'typing_extensions==4.16.0',
  '--no-deps river==0.26.1',
  '--no-deps frouros==0.9.0',
  '--no-deps evidently==0.7.23',
  '--no-deps nannyml==0.13.1',
  '--no-deps arize-phoenix==4.0.0',
]

/** Runs Python that finds the tools imported; `given` is the input, what it leaves in `out` comes back. */
export function runTools(script: string, input: unknown): unknown {
  return runPython(
    `${preamble}\n${script}\nprint(json.dumps(plain(out)))`,
    input,
    packages,
    'drift',
  )
}

const preamble = `
import enum, importlib.abc, importlib.machinery, importlib.util, json, logging, math, os, sys, tempfile, types, warnings
given = json.load(sys.stdin)
warnings.filterwarnings('ignore')
logging.disable(logging.CRITICAL)
os.environ['PHOENIX_WORKING_DIR'] = tempfile.mkdtemp()

class Hollow(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        if name.startswith('__'): raise AttributeError(name)
        value = type(name, (), {'__init__': lambda self, *a, **k: None, '__class_getitem__': classmethod(lambda c, k: c)})
        setattr(self, name, value)
        return value

hollow = ('matplotlib', 'plotly', 'seaborn', 'statsmodels', 'dotenv', 'requests', 'wrapt', 'strawberry',
          'evidently.legacy.calculation_engine', 'evidently.legacy.core', 'evidently.legacy.utils')

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if any(name == each or name.startswith(each + '.') for each in hollow):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec): return Hollow(spec.name)
    def exec_module(self, module): pass

sys.meta_path.insert(0, Finder())
for name in ('nannyml', 'nannyml.drift', 'nannyml.drift.univariate', 'evidently', 'evidently.legacy',
             'evidently.legacy.calculations', 'phoenix', 'phoenix.core'):
    module = types.ModuleType(name)
    module.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
    sys.modules[name] = module

import evidently.legacy.core
class ColumnType(enum.Enum):
    Numerical = 'num'
    Categorical = 'cat'
    Text = 'text'
sys.modules['evidently.legacy.core'].ColumnType = ColumnType

import numpy as np
np.NINF = -np.inf  # phoenix 4 is older than numpy 2
import pandas as pd

def plain(value):
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)): return [plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)): return bool(value)
    if isinstance(value, (int, np.integer)): return int(value)
    if isinstance(value, (float, np.floating)): return float(value) if math.isfinite(value) else str(value)
    return value
`
