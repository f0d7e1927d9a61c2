/** What travels: the records of freshet's topics. */
export { definitions } from './definitions.ts'
export type * from './types.ts'
