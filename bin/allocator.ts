/**
 * What workers tell glibc's allocator, which reads its variables before a program begins: to give large buffers back to the
 * system when they are free. By itself it keeps what a catch-up after an outage needed (docs/reliability.md, the soak), as it
 * takes the size of freed buffers for the size of those to come. Other C libraries pass over it.
 */
export const allocatorVariables: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_TRIM_THRESHOLD_: '131072',
}
