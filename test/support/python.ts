/** Python with fastavro, another implementation of Avro, as an oracle: made once in `.services/venv`. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const fastavro = 'fastavro==1.9.7'

/**
 * The path of a Python that has the packages; what is missing is installed, by whichever process comes first.
 * Errors: one sentence where there is no Python 3, or a package cannot be had.
 */
function python(packages: readonly string[]): string {
  const folder = fileURLToPath(new URL('../../.services/', import.meta.url))
  const venv = `${folder}venv`
  const binary = `${venv}/bin/python`
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    const sentence = 'python3 with venv is needed for the tests with clients in Python'
    run('python3', ['-m', 'venv', venv], sentence)
  }
  for (const name of packages) {
    const stamp = `${venv}/${name}`
    if (existsSync(stamp)) continue
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', name]
    run(binary, install, `pip cannot install ${name}`)
    writeFileSync(stamp, '')
  }
  return binary
}

/** Runs a Python script with JSON on its standard input; gives what it prints, parsed. `packages`: besides fastavro. */
export function runPython(
  script: string,
  input: unknown,
  packages: readonly string[] = [],
): unknown {
  const out = execFileSync(python([fastavro, ...packages]), ['-c', script], {
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
