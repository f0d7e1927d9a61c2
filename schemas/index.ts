// placeholder: generated types are re-exported here
export type Consent = 'full' | 'contextual' | 'none'
export type Impression = Record<string, unknown>
export type Watch = Record<string, unknown>
export type Feedback = Record<string, unknown>
export type Erasure = Record<string, unknown>
