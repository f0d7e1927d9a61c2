/** How much memory the state will take, against what this process may have. */
import { totalmem } from 'node:os'
import { count } from '../terminal.ts'
import { type Finding, ok, warning } from './finding.ts'

/** Estimated: session, positives, pending impressions, the doubles' ring; and an item with neighbours and vectors. */
const USER_BYTES = 1024
const ITEM_BYTES = 1536
/** Node, its code and the buffers of a busy worker. */
const BASE_BYTES = 250 * 1024 * 1024

export interface Sizes {
  readonly users: number
  readonly items: number
  /** Where the numbers are from: "--users", "at most, by the topics". */
  readonly from: string
}

/** Bytes of one process that holds all users. */
const forecastBytes = ({ users, items }: Sizes): number =>
  BASE_BYTES + users * USER_BYTES + items * ITEM_BYTES

/** `availableBytes`: of the machine, or of the container where that is less. */
export function checkMemory(sizes: Sizes, availableBytes = available()): Finding {
  const check = 'memory'
  const bytes = forecastBytes(sizes)
  const says = `about ${megabytes(bytes)} in one process with all of ${count(sizes.users)} users (1 KB each) and ${count(sizes.items)} items (1.5 KB each) ${sizes.from}; ${megabytes(availableBytes)} are there`
  return bytes <= availableBytes * 0.8
    ? ok(check, says)
    : warning(
        check,
        says,
        'run more workers on more machines (they share the users; each holds all items), or give this one more memory',
      )
}

const megabytes = (bytes: number): string => `${count(Math.round(bytes / 1024 / 1024))} MB`

function available(): number {
  const limit = process.constrainedMemory()
  return limit > 0 && limit < totalmem() ? limit : totalmem()
}
