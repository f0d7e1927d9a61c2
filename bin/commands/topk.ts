import { itemsOfList } from '../../sinks/redis/reader/items.ts'
import { action, answer, type Call, command, EXIT } from '../call.ts'
import { openStoredViews } from '../compose.ts'
import { durationText, paint, table } from '../terminal.ts'

export function topkCommand() {
  return command(
    'topk <user>',
    "A user's list as a reader gets it: the user's own, else the global one",
    'freshet topk u42 --surface home',
  )
    .option('--surface <name>', 'which surface', 'home')
    .action(action(topk))
}

async function topk(call: Call, user: string): Promise<number> {
  const views = openStoredViews(call)
  try {
    const surface = String(call.flags.surface)
    const own = await views.json(`topk:${surface}:u:${user}`)
    const list =
      own ?? (await views.json(`topk:${surface}:global:${Math.floor(Math.random() * 16)}`))
    if (!list) {
      const surfaces = call.values['topk.surfaces']
      answer(
        call,
        null,
        () =>
          `no list for ${user} on ${surface}, and no global one: ${surfaces.includes(surface) ? 'has `freshet run` seen events?' : `topk.surfaces has ${surfaces.join(', ')}`}`,
      )
      return EXIT.failed
    }
    answer(call, list, () => {
      const items = itemsOfList(list)
      const age = Date.now() - Number(list.at)
      return [
        `${own ? paint('bold', user) : `${paint('bold', user)} has no list of their own; the global one`}  ${paint('dim', `version ${list.version}, policy ${list.policy}, ${durationText(age)} old`)}`,
        table([
          ['#', 'item', 'score', 'p', 'source', ''],
          ...items.map((item, i) => [
            i + 1,
            item.id,
            item.score.toFixed(3),
            item.p?.toPrecision(3) ?? '',
            item.src,
            item.x ? 'explore' : '',
          ]),
        ]),
      ].join('\n')
    })
    return EXIT.done
  } finally {
    await views.close()
  }
}
