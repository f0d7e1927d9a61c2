/** Gives the test run a folder for its services and ends whatever was started there, also by tests that failed. */
import fs from 'node:fs'
import type { TestProject } from 'vitest/node'
import { runFolder, sweepAbandoned, sweepRun } from './processes.ts'
import type {} from './services.ts'

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await sweepAbandoned()
  const folder = runFolder()
  fs.mkdirSync(folder, { recursive: true })
  project.provide('servicesFolder', folder)
  return () => sweepRun(folder)
}
