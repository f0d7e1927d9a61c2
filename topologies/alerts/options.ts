/** Options of alerts. */
import { z } from 'zod'
import { defineOptions, option } from '../../streams/options.ts'
import { noRules, type RuleFile, ruleFile } from './rule-file.ts'

const webhookUrl = z.union([z.literal(''), z.url({ protocol: /^https?$/ })])

const header = /^\s*([A-Za-z0-9-]+)\s*:\s*(.*\S)\s*$/

/** `Name: value; Name: value` as an object; undefined where it is none. */
export function webhookHeaders(text: string): Readonly<Record<string, string>> | undefined {
  const read = text
    .split(';')
    .filter(part => part.trim() !== '')
    .map(part => header.exec(part))
  if (read.some(match => match === null)) return undefined
  return Object.fromEntries(read.map(match => [match?.[1], match?.[2]]))
}

export const alertOptions = defineOptions({
  'alerts.rules': option<RuleFile>(ruleFile, noRules, {
    help: 'JSON file with alert rules: it adds to the built-in ones, changes or switches them off by name (docs/alerts.md). Empty: the built-in ones, which say something on any log',
    takes: 'a file name, or the JSON itself',
  }),
  'alerts.webhook': option(webhookUrl, '', {
    help: 'URL that each alert is POSTed to as JSON when it is raised and when it is over. Empty: to the topic, the table and the log alone',
    takes: 'http(s)://..., or nothing',
  }),
  'alerts.webhookHeaders': option(
    z.string().refine(text => webhookHeaders(text) !== undefined),
    '',
    {
      help: 'Headers of these requests, e.g. Authorization: Bearer ...; several are separated by ;. Best given as a variable: flags are seen by everyone who may list processes',
      takes: 'Name: value; Name: value',
    },
  ),
})
