/** As much of protobuf's wire format as ONNX files need: varints, 32-bit floats, and fields with a length. */

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

/** Builds one message; fields stand in the order of the calls. */
export class MessageWriter {
  private readonly parts: Buffer[] = []

  /** A whole number from 0. */
  int(field: number, value: number): this {
    this.parts.push(varint(field * 8 + VARINT), varint(value))
    return this
  }

  float(field: number, value: number): this {
    const bytes = Buffer.alloc(4)
    bytes.writeFloatLE(value)
    this.parts.push(varint(field * 8 + FIXED32), bytes)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.parts.push(varint(field * 8 + LENGTH), varint(value.length), Buffer.from(value))
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value))
  }

  message(field: number, value: MessageWriter): this {
    return this.bytes(field, value.finish())
  }

  finish(): Buffer {
    return Buffer.concat(this.parts)
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  while (left >= 128) {
    bytes.push((left % 128) | 128)
    left = Math.floor(left / 128)
  }
  bytes.push(left)
  return Buffer.from(bytes)
}

/** Calls `onBytes` for each field of a message that has a length; passes over the others. Throws where it is no message. */
export function eachField(
  message: Uint8Array,
  onBytes: (field: number, value: Uint8Array) => void,
): void {
  let at = 0
  const number = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      if (at >= message.length || scale > 2 ** 63)
        throw new RangeError(`no protobuf message: a number ends beyond byte ${message.length}`)
      const byte = message[at++]
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const key = number()
    const kind = key % 8
    if (kind === VARINT) number()
    else if (kind === FIXED64) at += 8
    else if (kind === FIXED32) at += 4
    else if (kind === LENGTH) {
      const length = number()
      if (at + length > message.length)
        throw new RangeError(`no protobuf message: field ${Math.floor(key / 8)} ends beyond it`)
      onBytes(Math.floor(key / 8), message.subarray(at, at + length))
      at += length
    } else throw new RangeError(`no protobuf message: wire type ${kind} at byte ${at}`)
  }
}
