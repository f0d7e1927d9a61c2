/**
 * What is registered stays FULL_TRANSITIVE compatible with every release: each released schema reads the current one and
 * the other way round, by the rules as avsc (not freshet's own reader) has them.
 */
import { readdirSync, readFileSync } from 'node:fs'
import avsc from 'avsc'
import { describe, expect, it } from 'vitest'
import { definitions } from './index.ts'

const releases = new URL('./avro/released/', import.meta.url)

function unreadable(writer: string, reader: string): string | null {
  try {
    avsc.Type.forSchema(JSON.parse(reader)).createResolver(avsc.Type.forSchema(JSON.parse(writer)))
    return null
  } catch (error) {
    return String(error)
  }
}

describe.each(readdirSync(releases))('release %s', release => {
  const folder = new URL(`${release}/`, releases)
  it.each(readdirSync(folder))('%s and the current one read each other', file => {
    const old = readFileSync(new URL(file, folder), 'utf8')
    const current = Object.entries(definitions).find(([name]) => file === `${name}.avsc`)?.[1]
    if (current === undefined) throw new Error(`${file} was released and is gone`)
    expect(unreadable(old, current)).toBeNull()
    expect(unreadable(current, old)).toBeNull()
  })
})

it('would notice a field without a default, a renamed field, a narrower type', () => {
  const change = (edit: (field: { name: string; type: unknown; default?: unknown }) => void) => {
    const schema = JSON.parse(definitions.Watch)
    schema.fields.forEach(edit)
    return JSON.stringify(schema)
  }
  const extra = JSON.parse(definitions.Watch)
  extra.fields.push({ name: 'extra', type: 'string' })
  for (const changed of [
    JSON.stringify(extra),
    change(field => {
      if (field.name === 'playId') field.name = 'play'
    }),
    change(field => {
      if (field.name === 'watchedMs') field.type = 'int'
    }),
  ])
    expect(
      unreadable(definitions.Watch, changed) ?? unreadable(changed, definitions.Watch),
    ).not.toBeNull()
})

it('gives every enum a default, for symbols newer than the reader', () => {
  const without: string[] = []
  JSON.stringify(
    Object.values(definitions).map(text => JSON.parse(text)),
    (_, value) => {
      if (value?.type === 'enum' && typeof value.default !== 'string') without.push(value.name)
      return value
    },
  )
  expect(without).toEqual([])
})
