/** Options of connections and the process; those of topologies and sinks are declared beside what they steer. */
import { z } from 'zod'
import { duration, durationTakes, flag, flagTakes } from '../streams/option-types.ts'
import { defineOptions, option } from '../streams/options.ts'

const text = z.string()

export const processOptions = defineOptions({
  'kafka.brokers': option(text, '', {
    help: 'Brokers, host:port separated by commas. Empty: the embedded log in --data, where nothing else is named either.',
    takes: 'host:port[,host:port...]',
  }),
  'kafka.ssl': option(flag(), false, {
    help: 'TLS to the brokers. Off by default, as brokers on a private network usually are.',
    takes: flagTakes,
  }),
  'kafka.ssl.ca': option(text, '', {
    help: 'File with the certificate authority in PEM; empty: the system has it.',
    takes: 'a file name',
  }),
  'kafka.sasl.mechanism': option(z.enum(['', 'plain', 'scram-sha-256', 'scram-sha-512']), '', {
    help: 'How to authenticate; empty: not at all.',
    takes: 'plain, scram-sha-256, scram-sha-512 or empty',
  }),
  'kafka.sasl.username': option(text, '', { help: 'SASL user.', takes: 'text' }),
  'kafka.sasl.password': option(text, '', {
    help: 'SASL password; better given as a variable than as a flag.',
    takes: 'text',
  }),
  'kafka.sessionTimeout': option(duration(), 10_000, {
    help: 'A worker that is silent this long loses its tasks. 10 s: longer than any pause of a healthy worker, short enough for lists to stay fresh after a crash.',
    takes: durationTakes,
  }),
  'kafka.writerDeadline': option(duration(), 120_000, {
    help: 'An append without an answer for this long gives the task up (it is then claimed anew). 2 min rides out a broker restart.',
    takes: durationTakes,
  }),
  'redis.url': option(text, '', {
    help: 'Redis for lists and features; `none` leaves it out; empty: the embedded store in --data.',
    takes: 'redis(s)://host:port, redis+cluster://host:port or none',
  }),
  'application.id': option(z.string().regex(/^[A-Za-z0-9._-]{1,100}$/), 'freshet', {
    help: 'Name of the consumer group: all workers of one application share it.',
    takes: 'letters, digits, dots, dashes, at most 100',
  }),
  'data.dir': option(text, '.freshet', {
    help: 'Where the embedded parts live (also --data). In the current folder by default, so that a try leaves nothing elsewhere.',
    takes: 'a folder',
  }),
  'topics.prefix': option(text, 'freshet.', { help: 'Prefix of all topics.', takes: 'text' }),
  'topics.partitions': option(z.coerce.number().int().min(1).max(1024), 4, {
    help: 'Partitions of the topics that `topics create` makes: the most workers that can share the load. 4 suits one machine.',
    takes: 'a whole number from 1 to 1024',
  }),
  'topics.silent': option(text, '', {
    help: 'Outside topics (names without prefix, separated by commas) that are not written, e.g. session-features where nobody subscribes.',
    takes: 'names separated by commas',
  }),
  'input.start': option(z.enum(['earliest', 'latest']), 'earliest', {
    help: 'Where an application without state begins to read. earliest: nothing that was published is left out.',
    takes: 'earliest or latest',
  }),
  topologies: option(text, 'all', {
    help: 'Which topologies run (also --topology), separated by commas; sessions always does. all: everything.',
    takes: 'all, or some of sessions, labels, popularity, covisit, learner, topk, drift',
  }),
  'http.port': option(z.coerce.number().int().min(0).max(65_535), 8080, {
    help: 'Port of /healthz, /readyz and /metrics; 0: any free one. Of several workers (--workers) each has its own: this one, the next, ...',
    takes: 'a port, or 0',
  }),
  'pipeline.interval': option(
    duration().refine(ms => ms >= 1_000),
    10_000,
    {
      help: 'How often each task writes what it did (lag, events, freshness, dead letters) to the table pipeline. 10 s: 8,640 rows a task and day, whatever the load.',
      takes: `${durationTakes}, at least 1s`,
    },
  ),
  'log.level': option(z.enum(['silent', 'error', 'warn', 'info']), 'info', {
    help: 'What is logged to standard error.',
    takes: 'silent, error, warn or info',
  }),
})
