/** Numbers of the stores of the user task that this folder, sessions/ and labels/ own. On the log for ever: never reuse. */
export const USER_STORES = {
  users: 1,
  sessions: 2,
  plays: 3,
  positives: 4,
  exclusions: 5,
  doubles: 6,
  shown: 7,
  withdrawals: 8,
  watermark: 9,
  labelRequests: 10,
  labelEntries: 11,
  labelQuantiles: 12,
  approvals: 13,
} as const
