/** Records to bytes: Confluent framing with the registered id. Hot where a simulation or an import writes. */
import avsc from 'avsc'
import { FreshetError } from '../streams/errors.ts'
import { definitions } from './definitions.ts'
import type { SchemaRegistry } from './registry.ts'
import type { RecordDrafts, RecordName } from './types.ts'

export class Encoder {
  private readonly ids: ReadonlyMap<RecordName, number>
  private readonly types = new Map<RecordName, avsc.Type>()
  private scratch = Buffer.alloc(16_384)

  constructor(ids: ReadonlyMap<RecordName, number>) {
    this.ids = ids
  }

  /** Registers freshet's schemas and encodes with their ids. Errors: those of `registerAll`. */
  static async open(registry: SchemaRegistry, prefix: string): Promise<Encoder> {
    return new Encoder(await registry.registerAll(prefix))
  }

  /** The registered id, for those who write bytes themselves. Errors: BUG where there is none. */
  idOf(name: RecordName): number {
    const id = this.ids.get(name)
    if (id === undefined) throw new FreshetError('BUG', `no schema id is registered for ${name}`)
    return id
  }

  /** The framed record; fields left out take their defaults. Errors: BUG for a field of a wrong type, naming it. */
  encode<N extends RecordName>(name: N, record: RecordDrafts[N]): Buffer {
    const id = this.idOf(name)
    const type = this.type(name)
    let end = this.write(type, name, record)
    if (end < 0) {
      this.scratch = Buffer.alloc(this.scratch.length - end + 1024)
      end = this.write(type, name, record)
    }
    this.scratch[0] = 0
    this.scratch.writeInt32BE(id, 1)
    return Buffer.from(this.scratch.subarray(0, end))
  }

  /** The end of the record in the scratch buffer; negative: bytes that did not fit. */
  private write(type: avsc.Type, name: string, record: unknown): number {
    try {
      return type.encode(record, this.scratch, 5)
    } catch (error) {
      const faults: string[] = []
      type.isValid(record, {
        errorHook: (path, value) => faults.push(`${path.join('.')}: ${value}`),
      })
      throw new FreshetError('BUG', `a ${name} cannot be encoded: ${faults.join('; ')}`, error)
    }
  }

  private type(name: RecordName): avsc.Type {
    const known = this.types.get(name)
    if (known) return known
    const type = avsc.Type.forSchema(JSON.parse(definitions[name]))
    this.types.set(name, type)
    return type
  }
}
