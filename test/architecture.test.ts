/**
 * Holds the shape of the tree (docs/architecture.md): imports point one way, by dependency-cruiser, and what of the style
 * a tool can see. A failure says where, what, and where the code belongs instead.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const folders = ['streams', 'topologies', 'schemas', 'sinks', 'replay', 'bin', 'test']
const LONGEST_FILE = 400

interface Violation {
  readonly from: string
  readonly to: string
  readonly rule: { readonly name: string }
  readonly cycle?: readonly { readonly name: string }[]
}

interface Cruise {
  readonly summary: {
    readonly totalCruised: number
    readonly violations: readonly Violation[]
    readonly ruleSetUsed: {
      readonly forbidden: readonly { readonly name: string; readonly comment: string }[]
    }
  }
}

function cruise(): Cruise {
  const args = ['--config', '.dependency-cruiser.cjs', '--output-type', 'json', ...folders]
  const tool = join(root, 'node_modules/.bin/depcruise')
  const { stdout, stderr } = spawnSync(process.execPath, [tool, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  })
  if (!stdout.startsWith('{')) throw new Error(`depcruise failed: ${stderr}`)
  return JSON.parse(stdout) as Cruise
}

describe('imports', () => {
  it('point one way', () => {
    const { summary } = cruise()
    expect(summary.totalCruised).toBeGreaterThan(100)
    const comments = new Map(summary.ruleSetUsed.forbidden.map(rule => [rule.name, rule.comment]))
    const sentences = summary.violations.map(({ from, to, rule, cycle }) => {
      const path = cycle ? [from, ...cycle.map(step => step.name)].join(' -> ') : `${from} -> ${to}`
      return `${path}: ${comments.get(rule.name)} (${rule.name})`
    })
    expect(sentences).toEqual([])
  })
})

/** Files under a folder with one of the endings; what is installed, built or a service's is passed over. */
function filesUnder(folder: string, endings: RegExp): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (['node_modules', 'dist', 'coverage', '.git', '.services', '.freshet'].includes(entry.name))
      return []
    if (entry.isDirectory()) return filesUnder(path, endings)
    return endings.test(entry.name) ? [path] : []
  })
}

const self = 'test/architecture.test.ts'
const sources = folders.flatMap(folder => filesUnder(folder, /\.ts$/)).filter(path => path !== self)
const text = (path: string): string => readFileSync(join(root, path), 'utf8')
const isTest = (path: string): boolean => /\.(test|contract|bench)\.ts$/.test(path)
const isGenerated = (path: string): boolean => /^\/[/*].*generated/i.test(text(path))

/** Comments become spaces, so that places stay and what is only spoken of is not found. */
const code = (path: string): string =>
  text(path).replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, comment =>
    comment.replace(/[^\n]/g, ' '),
  )

/** Each hit as `file:line found: advice`. */
function hits(
  paths: readonly string[],
  pattern: RegExp,
  advice: string,
  of: (path: string) => string = code,
): string[] {
  return paths.flatMap(path => {
    const content = of(path)
    return [...content.matchAll(pattern)].map(match => {
      const line = content.slice(0, match.index).split('\n').length
      return `${path}:${line} ${match[0].trim()}: ${advice}`
    })
  })
}

describe('style', () => {
  it('topologies read neither clock nor dice', () => {
    const pure = sources.filter(
      path => path.startsWith('topologies/') && !isTest(path) && !path.endsWith('fakes.ts'),
    )
    expect(
      hits(
        pure,
        /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.now\b|\bprocess\.hrtime\b|\brandom(UUID|Bytes|Int)\b/g,
        "time is ctx.now() or the event's ts; chance is randomFrom(hash53(...)), so that a replay repeats",
      ),
    ).toEqual([])
  })

  it(`a file over ${LONGEST_FILE} lines has two jobs`, () => {
    const long = sources
      .filter(path => !isGenerated(path))
      .map(path => ({ path, lines: text(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > LONGEST_FILE)
    expect(long.map(({ path, lines }) => `${path}: ${lines} lines: cut it in two`)).toEqual([])
  })

  it('types are kept', () => {
    expect([
      ...hits(
        sources,
        /\bas any\b|: any(?=\s*[,;)=\]}|&\n])|<any\b|\bany\[\]/g,
        'name the type, or unknown',
      ),
      ...hits(
        sources,
        /@ts-(ignore|nocheck|expect-error)/g,
        'mend the type, or cast at the one place that knows',
        text,
      ),
      ...hits(
        sources,
        /\bcatch\s*(\([^)]*\))?\s*\{\s*\}/g,
        'say what is to happen, or do not catch',
      ),
    ]).toEqual([])
  })

  it('every test runs', () => {
    expect(
      hits(
        sources,
        /\b(it|test|describe|bench)\.(only|skip|skipIf|todo|fails)\b/g,
        'a test runs, or it is deleted',
      ),
    ).toEqual([])
  })

  it('nothing names a machine or a registry of packages', () => {
    const texts = filesUnder('', /\.(ts|js|cjs|mjs|json|md|avsc|ya?ml|sh|py|toml)$|^\.npmrc$/)
    const speaking = texts.filter(path => path !== self && path !== 'package-lock.json')
    expect([
      ...hits(
        speaking,
        /(?<![\w.])\/(home|Users|root|work)\/\w+/g,
        'name files from the root of the project',
        text,
      ),
      ...hits(
        [...speaking, 'package-lock.json'],
        /https?:\/\/[^\s"')]*(registry|artifactory|nexus|verdaccio|mirror)\.[a-z][^\s"')/]*/g,
        'packages come from wherever npm is configured to look',
        text,
      ).filter(hit => !hit.includes('//registry.npmjs.org')),
    ]).toEqual([])
  })
})
