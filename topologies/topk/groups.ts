/**
 * Groups of items that floors and caps speak of, declared in the policy file: a group holds the items for which every
 * field that it names has one of the values listed (`{"language": ["de", "fr"], "attributes": {"label": ["indie"]}}`).
 */
import type { CatalogEntry, ItemTable } from '../items/table.ts'

export interface Group {
  readonly name: string
  readonly topic: readonly string[]
  readonly creator: readonly string[]
  readonly language: readonly string[]
  readonly attributes: readonly (readonly [key: string, values: readonly string[]])[]
}

/** The attributes that groups ask for. */
export function attributesOf({ groups }: { readonly groups: readonly Group[] }): string[] {
  return [...new Set(groups.flatMap(({ attributes }) => attributes.map(([key]) => key)))]
}

export class GroupMarks {
  private readonly groups: readonly Group[]
  private readonly items: Pick<ItemTable, 'topicName' | 'creatorName'>
  /** An entry is a new object whenever the catalog says something new of its item. */
  private readonly known = new WeakMap<CatalogEntry, number>()

  constructor(groups: readonly Group[], items: Pick<ItemTable, 'topicName' | 'creatorName'>) {
    this.groups = groups
    this.items = items
  }

  /** Bit k is set where the item is in the k-th group. An item that the catalog does not know is in none. */
  of(entry: CatalogEntry | undefined): number {
    if (entry === undefined || this.groups.length === 0) return 0
    const known = this.known.get(entry)
    if (known !== undefined) return known
    let marks = 0
    this.groups.forEach((group, k) => {
      if (this.holds(group, entry)) marks |= 1 << k
    })
    this.known.set(entry, marks)
    return marks
  }

  private holds({ topic, creator, language, attributes }: Group, entry: CatalogEntry): boolean {
    const { items } = this
    if (topic.length > 0 && !entry.topics.some(t => topic.includes(items.topicName(t))))
      return false
    if (creator.length > 0 && !creator.includes(items.creatorName(entry.creator))) return false
    if (language.length > 0 && !language.includes(entry.language)) return false
    return attributes.every(([key, values]) => values.includes(entry.attributes[key] ?? ''))
  }
}
