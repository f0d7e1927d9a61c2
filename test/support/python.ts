/**
 * Python as an oracle: fastavro, another implementation of Avro, and tools of statistics. Environments are made once, in
 * `.services/venv` and `.services/venv-<name>`; in each a file per package says that it is installed.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const fastavro = 'fastavro==1.9.7'
const folder = fileURLToPath(new URL('../../.services/', import.meta.url))
/** Begins a package that is installed without what it asks for: `--no-deps obp==0.4.1`. */
const alone = '--no-deps '
/** An environment is made in less than a minute; whoever needs so long hangs. */
const patienceMs = 300_000

/**
 * Runs a Python script with JSON on its standard input; gives what it prints, parsed. `packages`: each `name==version` or
 * `--no-deps name==version`, which are installed last. `environment`: one of its own, for versions that clash with others'; without, the common one,
 * which has fastavro. What is missing is installed by whichever process comes first.
 * Errors: one sentence where there is no Python 3, or a package cannot be had.
 */
export function runPython(
  script: string,
  input: unknown,
  packages: readonly string[] = [],
  environment = '',
): unknown {
  const venv = `${folder}venv${environment === '' ? '' : `-${environment}`}`
  const binary = python(venv, environment === '' ? [fastavro, ...packages] : packages)
  const out = execFileSync(binary, ['-c', script], {
    input: JSON.stringify(input),
    maxBuffer: 1 << 28,
  })
  return JSON.parse(out.toString('utf8'))
}

/** The path of the environment's Python, which has the packages. */
function python(venv: string, packages: readonly string[]): string {
  const binary = `${venv}/bin/python`
  const stamp = (name: string): string => `${venv}/${name.replaceAll(/[^\w.=-]/g, '')}`
  const isWhole = (): boolean =>
    existsSync(binary) && packages.every(name => existsSync(stamp(name)))
  if (isWhole()) return binary
  mkdirSync(folder, { recursive: true })
  const release = lock(`${venv}.lock`)
  try {
    const made = `${venv}/made`
    if (!existsSync(made)) {
      // --clear: what a killed process has begun
      run('python3', ['-m', 'venv', '--clear', venv], 'Python 3 with venv is needed for oracles')
      writeFileSync(made, '')
    }
    const missing = packages.filter(name => !existsSync(stamp(name)))
    install(
      binary,
      missing.filter(name => !name.startsWith(alone)),
      [],
    )
    install(
      binary,
      missing.filter(name => name.startsWith(alone)),
      ['--no-deps'],
    )
    for (const name of missing) writeFileSync(stamp(name), '')
  } finally {
    release()
  }
  return binary
}

/** All at once: pip takes longer to begin than to install a small package. What is never imported is never compiled. */
function install(binary: string, packages: readonly string[], flags: readonly string[]): void {
  if (packages.length === 0) return
  const names = packages.map(name => name.replace(alone, ''))
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile']
  run(binary, [...pip, ...flags, ...names], `pip cannot install ${names.join(' ')}`)
}

/** Waits for the lock and takes it; what a process that is gone has left behind is taken over. Gives its release. */
function lock(path: string): () => void {
  const until = Date.now() + patienceMs
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' })
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (isAbandoned(path)) rmSync(path, { force: true })
    else if (Date.now() > until)
      throw new Error(`${path}: another process has held it for ${patienceMs / 60_000} minutes`)
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
}

function isAbandoned(path: string): boolean {
  try {
    const holder = Number(readFileSync(path, 'utf8'))
    // 0: just made, its number is not written yet
    if (holder > 0) process.kill(holder, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function run(command: string, args: readonly string[], sentence: string): void {
  try {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    throw new Error(`${sentence}: ${error instanceof Error ? error.message : error}`)
  }
}
