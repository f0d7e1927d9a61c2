import { defineConfig } from 'vitest/config'

/** The long fault runs (`npm run faults`): brokers killed, minutes each. */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 180_000,
    pool: 'forks',
    maxWorkers: 1,
    globalSetup: ['test/support/global-setup.ts'],
  },
})
