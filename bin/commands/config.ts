import { environmentName } from '../../streams/options.ts'
import { allOptions } from '../all-options.ts'
import { action, answer, command, EXIT } from '../call.ts'
import { paint } from '../terminal.ts'

const SECRET = /password|keys?$|webhook/i

/** A URL's password has no place on a screen. */
const withoutPassword = (value: unknown): unknown =>
  typeof value === 'string' ? value.replace(/(:\/\/[^\s:@/]*):[^\s@/]*@/g, '$1:(set)@') : value

export function configCommand() {
  const show = command(
    'show',
    "Each option's value and where it came from",
    'freshet config show --set topk.size=20',
  ).action(
    action(async call => {
      const shown = call.resolved.map(({ name, value, from }) => ({
        name,
        value: SECRET.test(name) && value !== '' ? '(set)' : withoutPassword(value),
        from,
        variable: environmentName(name),
        help: allOptions[name as keyof typeof allOptions].help,
      }))
      answer(call, shown, () =>
        shown
          .map(
            ({ name, value, from, variable, help }) =>
              `${paint('bold', name)} = ${JSON.stringify(value)}  ${paint('dim', `(${from}; ${variable})`)}\n    ${help}`,
          )
          .join('\n'),
      )
      return EXIT.done
    }),
  )
  return command('config', 'Options and where they came from', 'freshet config show').addCommand(
    show,
  )
}
