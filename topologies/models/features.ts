/** The feature registry as models are checked against it. */
import { featureHash, featureSpecs } from '../blend/features.ts'
import { buckets } from '../blend/newton.ts'
import type { FeatureSet } from './layout.ts'

const features: FeatureSet = { specs: featureSpecs, hash: featureHash, buckets }

export const featureSet = (): FeatureSet => features
