/** Where Kafka is and how to log in: `FRESHET_KAFKA_BROKERS` and what stands beside it. */
import fs from 'node:fs'
import { z } from 'zod'
import { FreshetError, messageOf } from '../../errors.ts'
import { flag, flagTakes } from '../../option-types.ts'
import { defineOptions, type OptionValues, option } from '../../options.ts'
import type { ConnectionOptions } from './connections.ts'

const mechanisms = ['', 'plain', 'scram-sha-256', 'scram-sha-512'] as const

export const kafkaOptions = defineOptions({
  'kafka.brokers': option(z.string(), '', {
    help: 'Kafka brokers to begin with, host:port with commas between them; the others are found through them. Empty: the embedded log, so that a first try needs no Kafka',
    takes: 'host:port,host:port',
  }),
  'kafka.ssl': option(flag(), false, {
    help: 'Connect by TLS. Off, as a broker on the own machine or network has none by default',
    takes: flagTakes,
  }),
  'kafka.ssl.ca': option(z.string(), '', {
    help: "File with the certificate authority of the brokers, PEM. Empty: the system's authorities",
    takes: 'a file name',
  }),
  'kafka.ssl.cert': option(z.string(), '', {
    help: 'File with our own certificate, PEM, where brokers ask for one. Empty: none',
    takes: 'a file name',
  }),
  'kafka.ssl.key': option(z.string(), '', {
    help: 'File with the key of `kafka.ssl.cert`, PEM. Empty: none',
    takes: 'a file name',
  }),
  'kafka.sasl.mechanism': option(z.enum(mechanisms), '', {
    help: 'How to log in. Empty: not at all, as brokers ask for it only where they were told to',
    takes: 'plain, scram-sha-256 or scram-sha-512',
  }),
  'kafka.sasl.username': option(z.string(), '', { help: 'User name of the login', takes: 'text' }),
  'kafka.sasl.password': option(z.string(), '', {
    help: 'Password of the login; better given as FRESHET_KAFKA_SASL_PASSWORD than as a flag, which others on the machine can read',
    takes: 'text',
  }),
})

/**
 * The connection that the options describe; undefined where no brokers are named.
 * Errors: OPTION_INVALID for a file that cannot be read or a login without its parts.
 */
export function kafkaConnection(
  values: OptionValues<typeof kafkaOptions>,
): Omit<ConnectionOptions, 'clientId'> | undefined {
  if (values['kafka.brokers'].trim() === '') return undefined
  const brokers = values['kafka.brokers'].split(',').map(broker => broker.trim())
  const ssl = values['kafka.ssl']
    ? {
        ca: fileOf(values, 'kafka.ssl.ca'),
        cert: fileOf(values, 'kafka.ssl.cert'),
        key: fileOf(values, 'kafka.ssl.key'),
      }
    : undefined
  return { brokers, ssl, sasl: saslOf(values) }
}

function saslOf(values: OptionValues<typeof kafkaOptions>): ConnectionOptions['sasl'] {
  const mechanism = values['kafka.sasl.mechanism']
  const username = values['kafka.sasl.username']
  const password = values['kafka.sasl.password']
  if (mechanism === '') {
    if (username === '') return undefined
    throw new FreshetError(
      'OPTION_INVALID',
      'option kafka.sasl.username is given without kafka.sasl.mechanism, which takes plain, scram-sha-256 or scram-sha-512',
    )
  }
  if (username === '' || password === '')
    throw new FreshetError(
      'OPTION_INVALID',
      `option kafka.sasl.mechanism is ${mechanism}, which needs kafka.sasl.username and kafka.sasl.password`,
    )
  // kafkajs' type is a union by mechanism, so a mechanism not yet told apart does not fit it
  if (mechanism === 'plain') return { mechanism, username, password }
  if (mechanism === 'scram-sha-256') return { mechanism, username, password }
  return { mechanism, username, password }
}

function fileOf(
  values: OptionValues<typeof kafkaOptions>,
  name: 'kafka.ssl.ca' | 'kafka.ssl.cert' | 'kafka.ssl.key',
): string | undefined {
  const file = values[name]
  if (file === '') return undefined
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    throw new FreshetError(
      'OPTION_INVALID',
      `option ${name} got ${file}, which cannot be read: ${messageOf(error)}; it takes a file name`,
      error,
    )
  }
}
