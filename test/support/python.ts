/** Python with fastavro, another implementation of Avro, as an oracle: made once in `.services/venv`. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const packages = ['fastavro==1.9.7']

/**
 * The path of a Python that has the packages. Made at the first call, by whichever process comes first.
 * Errors: one sentence where there is no Python 3, or the packages cannot be had.
 */
function python(): string {
  const folder = fileURLToPath(new URL('../../.services/', import.meta.url))
  const venv = `${folder}venv`
  const binary = `${venv}/bin/python`
  const stamp = `${venv}/${packages.join('+')}`
  if (existsSync(stamp)) return binary
  mkdirSync(folder, { recursive: true })
  rmSync(venv, { recursive: true, force: true })
  run('python3', ['-m', 'venv', venv], 'python3 with venv is needed for the tests against fastavro')
  run(
    binary,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages],
    `pip cannot install ${packages.join(', ')}`,
  )
  writeFileSync(stamp, '')
  return binary
}

/** Runs a Python script with JSON on its standard input; gives what it prints, parsed. */
export function runPython(script: string, input: unknown): unknown {
  const out = execFileSync(python(), ['-c', script], {
    input: JSON.stringify(input),
    maxBuffer: 1 << 28,
  })
  return JSON.parse(out.toString('utf8'))
}

function run(command: string, args: readonly string[], sentence: string): void {
  try {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    throw new Error(`${sentence}: ${error instanceof Error ? error.message : error}`)
  }
}
