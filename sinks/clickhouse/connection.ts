/**
 * What the store needs of a ClickHouse, whichever way it is reached: a server over http(s) or the embedded chdb.
 * Statements name their tables with the database; a connection has no current database (a server refuses one that does
 * not exist yet).
 */
export interface SqlPort {
  command(sql: string): Promise<void>
  query<T>(sql: string): Promise<T[]>
}

export interface Connection extends SqlPort {
  /** For messages: the url without its password, or chdb:DIR. */
  readonly address: string
  /** Writes what a SELECT gives to a new file, as Parquet; tells how many bytes it has by now. */
  parquet(sql: string, file: string, onBytes: (bytes: number) => void): Promise<void>
  /** `lines`: rows in JSONEachRow. Resolves when they are stored. */
  insert(table: string, lines: Buffer): Promise<void>
  close(): Promise<void>
}

/**
 * Settings of every insert. A column that does not exist is refused rather than dropped in silence; an import of an old
 * log may touch more than 100 daily partitions in one block. Features are read bit by bit as they were served: the fast
 * parser, the default of older servers, is off by one in the last digit now and then.
 */
export const insertSettings = {
  input_format_skip_unknown_fields: 0,
  max_partitions_per_insert_block: '0',
  precise_float_parsing: 1,
} as const

/** Of a Parquet file: texts are texts, not bytes, whatever the server's default. */
export const parquetSettings = { output_format_parquet_string_as_string: 1 } as const

/** The code of a ClickHouse exception; undefined where no server answered. */
export function exceptionCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  if ('clickhouseCode' in error && typeof error.clickhouseCode === 'number')
    return error.clickhouseCode
  if ('code' in error && typeof error.code === 'string' && /^\d+$/.test(error.code))
    return Number(error.code)
  const found = error instanceof Error ? /^Code: (\d+)\b/.exec(error.message) : null
  return found ? Number(found[1]) : undefined
}

/**
 * Exception codes that say "this row can never be stored": values that don't parse, don't fit or have no column.
 * Everything else (network, memory, too many parts, a missing table, access) may pass and is waited for.
 */
const rowFaults = new Set([
  6, // CANNOT_PARSE_TEXT
  25, // CANNOT_PARSE_ESCAPE_SEQUENCE
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  33, // CANNOT_READ_ALL_DATA
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  128, // TOO_LARGE_ARRAY_SIZE
  130, // CANNOT_READ_ARRAY_FROM_TEXT
  131, // TOO_LARGE_STRING_SIZE
  190, // SIZES_OF_ARRAYS_DONT_MATCH
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  407, // DECIMAL_OVERFLOW
  467, // CANNOT_PARSE_BOOL
])

/** What a server says that is busy, starts, or has lost its keeper: not that something is wrong with it. */
const passing = new Set([
  159, // TIMEOUT_EXCEEDED
  164, // READONLY
  202, // TOO_MANY_SIMULTANEOUS_QUERIES
  209, // SOCKET_TIMEOUT
  210, // NETWORK_ERROR
  225, // NO_ZOOKEEPER
  236, // ABORTED
  241, // MEMORY_LIMIT_EXCEEDED
  242, // TABLE_IS_READ_ONLY
  243, // NOT_ENOUGH_SPACE
  252, // TOO_MANY_PARTS
  394, // QUERY_WAS_CANCELLED
  439, // CANNOT_SCHEDULE_TASK
  999, // KEEPER_EXCEPTION
])

export const mayPass = (code: number): boolean => passing.has(code)

export function isRowFault(error: unknown): boolean {
  const code = exceptionCode(error)
  return code !== undefined && rowFaults.has(code)
}
