/** Gives names small integers in order of first sight. */
export class Names {
  private readonly indices = new Map<string, number>()
  private readonly names: string[] = []

  get size(): number {
    return this.names.length
  }

  index(name: string): number {
    const known = this.indices.get(name)
    if (known !== undefined) return known
    const index = this.names.length
    this.indices.set(name, index)
    this.names.push(name)
    return index
  }

  /** '' for an index never given. */
  nameOf(index: number): string {
    return this.names[index] ?? ''
  }
}
