/** Models trained by other tools on a tiny made-up task, converted to ONNX by their own converters, with what the tools say. */
import { featureNames } from '../../topologies/blend/features.ts'
import { runPython } from './python.ts'

export interface ForeignModel {
  readonly model: Buffer
  /** Rows in the model's columns, float32, and the tool's own scores. */
  readonly rows: readonly (readonly number[])[]
  readonly outputs: readonly number[]
}

/** protobuf: later ones refuse what the converters of XGBoost write. ~400 MB installed, once, in some 15 s. */
const packages = [
  'protobuf==5.29.5',
  'numpy==2.2.6',
  'onnx==1.17.0',
  'scikit-learn==1.6.1',
  'skl2onnx==1.18.0',
  'onnxmltools==1.13.0',
  'lightgbm==4.6.0',
  'xgboost-cpu==2.1.4',
]

/**
 * By name: lightgbm (classifier, over 512 KB), lightgbmRegressor, xgboost (classifier), xgboostRegressor, logistic,
 * logisticNamed (an input a feature, four of them), network (three layers, features by metadata, scores by numpy); and
 * what is to be refused: zipMap, doubles, notANumber (network with a logarithm).
 */
export function foreignModels(): Readonly<Record<string, ForeignModel>> {
  const given = runPython(script, { names: featureNames }, packages) as Record<
    string,
    { model: string; rows: number[][]; outputs: number[] }
  >
  return Object.fromEntries(
    Object.entries(given).map(([name, { model, ...rest }]) => [
      name,
      { model: Buffer.from(model, 'base64'), ...rest },
    ]),
  )
}

/** LightGBM on rows of the whole registry, labels 1 and 0: 100 trees of 15 leaves, as its converter writes them. */
export function trainedTrees(
  rows: readonly (readonly number[])[],
  labels: readonly number[],
): Buffer {
  return Buffer.from(runPython(training, { rows, labels }, packages) as string, 'base64')
}

const training = `
import base64, json, sys
given = json.load(sys.stdin)
import lightgbm, numpy as np
from onnxmltools import convert_lightgbm
from skl2onnx.common.data_types import FloatTensorType
X = np.array(given['rows'], dtype=np.float32)
m = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=15, learning_rate=.05, min_child_samples=50, verbose=-1, n_jobs=1)
m.fit(X, np.array(given['labels']))
o = convert_lightgbm(m, initial_types=[('input', FloatTensorType([None, X.shape[1]]))], zipmap=False, target_opset=15)
print(json.dumps(base64.b64encode(o.SerializeToString()).decode()))
`

const script = `
import base64, contextlib, json, logging, sys, warnings
names = json.load(sys.stdin)['names']
logging.disable(logging.CRITICAL)
warnings.filterwarnings('ignore')
import numpy as np
import lightgbm, xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(7)
F = len(names)
X = rng.normal(size=(1500, F)).astype(np.float32)
y = (X[:, :6].sum(axis=1) + rng.normal(size=1500) > 0).astype(int)
T = rng.normal(size=(40, F)).astype(np.float32)
matrix = [('input', FloatTensorType([None, F]))]
out = {}

def put(name, model, rows, outputs):
    out[name] = {'model': base64.b64encode(model.SerializeToString()).decode(),
                 'rows': rows.astype(float).tolist(), 'outputs': np.asarray(outputs).astype(float).ravel().tolist()}

def options(model, zipmap):
    return {id(model): {'zipmap': zipmap}}

with contextlib.redirect_stdout(sys.stderr):
    m = lightgbm.LGBMClassifier(n_estimators=250, num_leaves=31, verbose=-1, n_jobs=1).fit(X, y)
    put('lightgbm', convert_lightgbm(m, initial_types=matrix, zipmap=False, target_opset=15), T, m.predict_proba(T)[:, 1])
    m = lightgbm.LGBMRegressor(n_estimators=40, verbose=-1, n_jobs=1).fit(X, y)
    put('lightgbmRegressor', convert_lightgbm(m, initial_types=matrix, target_opset=15), T, m.predict(T))
    m = xgboost.XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1).fit(X, y)
    put('xgboost', convert_xgboost(m, initial_types=matrix, target_opset=15), T, m.predict_proba(T)[:, 1])
    m = xgboost.XGBRegressor(n_estimators=40, max_depth=4, n_jobs=1).fit(X, y)
    put('xgboostRegressor', convert_xgboost(m, initial_types=matrix, target_opset=15), T, m.predict(T))
    m = LogisticRegression().fit(X, y)
    p = m.predict_proba(T)[:, 1]
    put('logistic', convert_sklearn(m, initial_types=matrix, options=options(m, False), target_opset=15), T, p)
    put('zipMap', convert_sklearn(m, initial_types=matrix, options=options(m, True), target_opset=15), T, p)
    doubles = [('input', DoubleTensorType([None, F]))]
    put('doubles', convert_sklearn(m, initial_types=doubles, options=options(m, False), target_opset=15), T, p)
    some = [4, 0, 9, 1]
    m = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:, some], y)
    named = [(names[i], FloatTensorType([None, 1])) for i in some]
    put('logisticNamed', convert_sklearn(m, initial_types=named, options=options(m, False), target_opset=15),
        T[:, some], m.predict_proba(T[:, some])[:, 1])

    some = [3, 2, 7, 5, 11]
    shapes = [(5, 16), (16, 8), (8, 1)]
    W = [rng.normal(size=s).astype(np.float32) for s in shapes]
    B = [rng.normal(size=s[1]).astype(np.float32) for s in shapes]
    h = T[:, some].astype(np.float64)
    for i in range(3):
        h = h @ W[i].astype(np.float64) + B[i]
        if i < 2: h = np.maximum(h, 0)
    def network(last):
        nodes, at = [], 'x'
        for i in range(3):
            nodes.append(helper.make_node('Gemm', [at, f'w{i}', f'b{i}'], [f'g{i}']))
            at = f'g{i}'
            if i < 2:
                nodes.append(helper.make_node('Relu', [at], [f'r{i}']))
                at = f'r{i}'
        nodes.append(helper.make_node(last, [at], ['score']))
        constants = [numpy_helper.from_array(w, f'w{i}') for i, w in enumerate(W)]
        constants += [numpy_helper.from_array(b, f'b{i}') for i, b in enumerate(B)]
        graph = helper.make_graph(nodes, 'network', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 5])],
            [helper.make_tensor_value_info('score', TensorProto.FLOAT, ['n', 1])], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 15)], ir_version=8, producer_name='numpy')
        helper.set_model_props(model, {'freshet.features': ','.join(names[i] for i in some)})
        return model
    put('network', network('Identity'), T[:, some], h)
    put('notANumber', network('Log'), T[:, some], h)
print(json.dumps(out))
`
