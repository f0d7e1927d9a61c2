import { z } from 'zod'
import { defineOptions, option } from '../streams/options.ts'

export const schemaOptions = defineOptions({
  'schemaRegistry.url': option(z.string().regex(/^(https?|mock):\/\//), 'mock://freshet', {
    help: 'Confluent-compatible schema registry; several URLs by commas, user:password@ where it asks for them. The default is one within the process, for the embedded parts and for events in plain JSON',
    takes: 'http(s)://host:port or mock://name',
  }),
})
