/** What must hold once all faults are over: everything arrived, once, everywhere. */
import { markThrough, type TopicNames } from '../../streams/runtime/names.ts'
import { parseEvent, type SumsTable } from './application.ts'
import type { Broker } from './broker.ts'
import type { Recount } from './recount.ts'
import { activeWords } from './refill.ts'
import type { TableServer, ViewServer } from './sinks.ts'
import { expectedRow, numbersIn, type TaskRecount } from './task-recount.ts'

export interface Ended {
  readonly broker: Broker
  readonly names: TopicNames
  readonly recount: Recount
  readonly views: ViewServer
  readonly tables: TableServer
  /** Followed tables of the processes that are up. */
  readonly followed: readonly SumsTable[]
}

/** What is missing or wrong of the first kind of things that are, in words; empty: all is well. Cheap while work is left. */
export function problems(ended: Ended): string[] {
  for (const look of [behind, sumProblems, outletProblems, logProblems, viewProblems]) {
    const found = look(ended)
    if (found.length > 0) return found
  }
  return []
}

function behind({ broker, names, recount }: Ended): string[] {
  const found: string[] = []
  for (const task of recount.tasks.values()) {
    const inputs =
      task.kind === 'words'
        ? [
            ['text', names.outside('text')],
            ['marks', names.outside('marks')],
            ['<deltas>', names.deltas('words')],
          ]
        : [['<deltas>', names.deltas('totals')]]
    for (const [input, topic] of inputs) {
      const end = broker.logs(topic)[task.partition]?.highWatermark
      const position = task.positions.get(input) ?? 0
      // a packet that comes again may come at any time
      const isRead =
        input === '<deltas>' ? !recount.hasNewPackets(task) : end === undefined || end === position
      if (!isRead) found.push(`${task.name}: ${input} read up to ${position} of ${end}`)
    }
    if (task.blocks.size > 0) found.push(`${task.name}: ${task.blocks.size} table blocks are kept`)
  }
  return found
}

export const isOfViews = (problem: string): boolean => /^(view|the refill) /.test(problem)

/** Counts of the inputs, without any position: what a log reader with all the time in the world would say. */
function sumProblems({ broker, names, recount }: Ended): string[] {
  const counts = new Map<string, number>()
  for (const log of broker.logs(names.outside('text')))
    for (const record of recount.inputs.get(log.name) ?? []) {
      const event = parseEvent(record)
      if (event !== 'skip' && !('bad' in event) && ['word', 'urgent'].includes(event.kind))
        counts.set(event.word, (counts.get(event.word) ?? 0) + 1)
    }
  const found: string[] = []
  const sums = { words: 0, totals: 0, echoes: 0 }
  for (const task of recount.tasks.values()) {
    for (const [word, n] of task.numbers) {
      if (counts.get(word) !== n) found.push(`${task.name}: ${word} is ${n} of ${counts.get(word)}`)
      sums[task.kind === 'words' ? 'echoes' : 'totals']++
    }
    for (const [word, { count }] of task.words)
      if (count > 0) {
        if (counts.get(word) !== count) found.push(`${task.name}: ${word} counted ${count} times`)
        sums.words++
      }
  }
  for (const [what, n] of Object.entries(sums))
    if (n !== counts.size) found.push(`${what} hold ${n} of ${counts.size} words`)
  return found
}

function viewProblems({ views, recount, followed }: Ended): string[] {
  const found: string[] = []
  for (const [task, { through }] of views.marks)
    if (through === markThrough(1, 0)) found.push(`the refill of ${task} has not ended`)
  for (const task of recount.tasks.values()) {
    const outputs = task.kind === 'words' ? ['word', 'list'] : ['total']
    const words = task.kind === 'words' ? task.words.keys() : task.numbers.keys()
    const active = new Set(task.kind === 'words' ? activeWords(task.words) : task.numbers.keys())
    for (const word of words)
      for (const output of outputs) {
        const shown = recount.shownOf(output, word)
        if (output === 'list' && shown.count === 0) continue
        const view = views.views.get(`${output}:${word}`)
        // a store that lost something gets what changes and what is active; what came late may stand in it too
        if (views.lostAt > 0 && !active.has(word)) continue
        const expected = JSON.stringify(shown).slice(1)
        if (view?.text !== expected)
          found.push(`view ${output}:${word} is ${view?.text}, the state is ${expected}`)
      }
    if (task.kind !== 'totals') continue
    for (const table of followed)
      for (const [word, n] of task.numbers)
        if (table.sums.get(word) !== n)
          found.push(`a followed table says ${word}=${table.sums.get(word)}, the state is ${n}`)
  }
  return found
}

function outletProblems({ tables, recount }: Ended): string[] {
  const found: string[] = []
  let due = 0
  for (const [name, records] of recount.inputs) {
    if (!name.includes('text')) continue
    const partition = name.slice(name.lastIndexOf('-') + 1)
    for (const record of records) {
      const event = parseEvent(record)
      if (event === 'skip' || 'bad' in event || !['word', 'urgent'].includes(event.kind)) continue
      if (event.word === 'refused') continue
      due++
      const id = `words-${partition}@${record.offset}`
      const row = tables.rows.get(id)
      if (row !== JSON.stringify({ id, word: event.word, refused: false }))
        found.push(`table row ${id} is ${row}`)
    }
  }
  if (tables.rows.size !== due) found.push(`${tables.rows.size} table rows instead of ${due}`)
  for (const letter of recount.lettersDue)
    if (!recount.letters.has(letter)) found.push(`letter ${letter} never left`)
  for (const task of recount.tasks.values())
    for (const [word, { count }] of task.words)
      if (count > 0 && recount.features.get(word) !== count)
        found.push(`feature ${word} left up to ${recount.features.get(word)} of ${count}`)
  return found
}

/** A reader who begins at the log's start finds the state, row by row. */
export function logProblems({ broker, names, recount }: Ended): string[] {
  const found: string[] = []
  for (const task of recount.tasks.values()) {
    const log = broker.logs(names.changelog(task.kind))[task.partition]
    const rows = new Map<string, string>()
    for (const batch of log.batches)
      for (const { key, value } of batch.records) {
        if (!key || key[0] === 0) continue
        const name = `${key[0]}:${key.subarray(1)}`
        if (value === null) rows.delete(name)
        else rows.set(name, numbersIn(value).join(' '))
      }
    for (const name of expectedKeys(task)) {
      const [store, word] = name.split(':')
      const expected = expectedRow(task, Number(store), word)
      const row = rows.get(name) ?? 'none'
      if (row !== expected) found.push(`${log.name}: row ${name} reads ${row}, it is ${expected}`)
      rows.delete(name)
    }
    for (const [name, row] of rows) {
      const [store, word] = name.split(':')
      // soft rows may lag, never lead
      const count = task.words.get(word)?.count ?? 0
      if (store !== '4' || Number(row) > count)
        found.push(`${log.name}: row ${name}=${row} too many`)
    }
  }
  return found
}

function expectedKeys(task: TaskRecount): string[] {
  const numbers = [...task.numbers.keys()].map(word => `${task.kind === 'words' ? 3 : 1}:${word}`)
  return [
    ...numbers,
    ...[...task.words.keys()].map(word => `1:${word}`),
    ...[...task.flags.keys()].map(word => `2:${word}`),
  ]
}
