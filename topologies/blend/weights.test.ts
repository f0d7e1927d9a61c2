import { expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { featureHash } from './features.ts'
import { BlendWeights } from './weights.ts'

function written(): { weights: BlendWeights; bytes: Buffer } {
  const weights = new BlendWeights()
  weights.learnt = 1234
  weights.tasteMeans.set([1, -2, 0.5])
  weights.sets.forEach((_, i) => {
    weights.sets[i] = Math.fround(Math.sin(i))
  })
  const w = new ByteWriter(64)
  weights.write(w)
  return { weights, bytes: w.copy() }
}

it('weights come back as they were written', () => {
  const { weights, bytes } = written()
  const read = new BlendWeights()
  read.read(new ByteReader(bytes))
  expect(read).toEqual(weights)
  read.read(null)
  expect(read.learnt).toBe(0)
})

it('weights of another feature registry are not ranked with', () => {
  const { bytes } = written()
  const at = bytes.indexOf(featureHash)
  bytes[at] = bytes[at] === 48 ? 49 : 48
  const read = new BlendWeights()
  read.read(new ByteReader(bytes))
  expect(read.learnt).toBe(0)
})

it('weights of a newer layout are refused', () => {
  const { bytes } = written()
  bytes[0] = 9
  expect(() => new BlendWeights().read(new ByteReader(bytes))).toThrow(/layout 9/)
})
