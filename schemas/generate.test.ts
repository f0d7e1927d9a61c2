import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { generate } from './generate.ts'

it.each(Object.entries(generate()))('%s is what the .avsc files give', (file, text) => {
  const stands = readFileSync(new URL(file, import.meta.url), 'utf8')
  expect(stands === text, `${file} is stale: run \`npx tsx schemas/generate.ts\``).toBe(true)
})
