/** The feature registry as models are checked against it. */
import { featureHash, featureSpecs } from '../blend/features.ts'
import type { FeatureSet } from './layout.ts'

/** No history; a pause of at least half an hour or not, by how many items the user has: under 4, under 20, more. */
const buckets = 7

const features: FeatureSet = { specs: featureSpecs, hash: featureHash, buckets }

export const featureSet = (): FeatureSet => features
