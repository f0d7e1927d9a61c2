import { describe, expect, it } from 'vitest'
import { UserMemory } from './user-memory.ts'

const table = (unpackedUsers: number, bytes = 0) => ({
  memory: { unpackedUsers },
  directory: { bytes },
})

describe('the memory of users of a process', () => {
  it('lets one table have what the others leave, and each its share once all have too many', () => {
    const memory = new UserMemory(100)
    const tables = [table(90), table(10)]
    for (const one of tables) memory.add(one)
    expect(memory.limitOf(90)).toBe(90)
    tables[1].memory.unpackedUsers = 11
    expect(memory.limitOf(90)).toBe(50)
    expect(memory.limitOf(11)).toBe(50)
  })

  it('counts bytes of packed users as they are and of others by estimate', () => {
    const memory = new UserMemory(100)
    const tables = [table(2, 1000), table(0, 500)]
    for (const one of tables) memory.add(one)
    expect(memory.bytes).toBe(1500 + 2 * 4096)
  })
})
