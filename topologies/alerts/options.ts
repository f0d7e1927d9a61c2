/** Options of alerts. */
import { z } from 'zod'
import { defineOptions, option } from '../../streams/options.ts'
import { noRules, type RuleFile, ruleFile } from './rule-file.ts'

const webhookUrl = z.union([z.literal(''), z.url({ protocol: /^https?$/ })])

/** Name: value, separated by ; as text, or an object in the config file. */
const headers: z.ZodType<Readonly<Record<string, string>>> = z
  .union([z.string(), z.record(z.string(), z.string())])
  .transform((given, ctx) => {
    if (typeof given !== 'string') return given
    const pairs = given.split(';').filter(part => part.trim() !== '')
    const read = pairs.map(pair => /^\s*([A-Za-z0-9-]+)\s*:\s*(.*\S)\s*$/.exec(pair))
    if (read.every(match => match !== null))
      return Object.fromEntries(read.map(match => [match[1], match[2]]))
    ctx.addIssue({ code: 'custom', message: 'not headers' })
    return z.NEVER
  })

export const alertOptions = defineOptions({
  'alerts.rules': option<RuleFile>(ruleFile, noRules, {
    help: 'JSON file with alert rules: it adds to the built-in ones, changes or switches them off by name (docs/alerts.md). Empty: the built-in ones, which say something on any log',
    takes: 'a file name, or the JSON itself',
  }),
  'alerts.webhook': option(webhookUrl, '', {
    help: 'URL that each alert is POSTed to as JSON when it is raised and when it is over. Empty: to the topic, the table and the log alone',
    takes: 'http(s)://..., or nothing',
  }),
  'alerts.webhookHeaders': option<Readonly<Record<string, string>>>(
    headers,
    {},
    {
      help: 'Headers of these requests, e.g. Authorization: Bearer ...; several are separated by ;. Best given as a variable: flags are seen by everyone who may list processes',
      takes: 'Name: value; Name: value',
    },
  ),
})
