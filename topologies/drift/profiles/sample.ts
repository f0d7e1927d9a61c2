/** What the tools' profiles compare: raw values of one window, or of a reference. */
export type Sample =
  /** NaN and infinite values are missing. */
  | { readonly kind: 'numbers'; readonly values: Float64Array }
  | { readonly kind: 'categories'; readonly values: readonly string[] }

/** The values that are there, in the same order. */
export function present(values: Float64Array): Float64Array {
  return values.every(Number.isFinite) ? values : values.filter(Number.isFinite)
}
