import { action, answer, type Call, command, EXIT, wholeNumber } from '../call.ts'
import { examine } from '../doctor/examine.ts'
import type { Finding, Verdict } from '../doctor/finding.ts'
import { paint } from '../terminal.ts'

const SAMPLE = 200

export function doctorCommand() {
  return command(
    'doctor',
    'Checks options, brokers, topics, keys of events, registry, Redis, ClickHouse and memory; says what is wrong and how to put it right (exit code 3)',
    'FRESHET_KAFKA_BROKERS=localhost:9092 FRESHET_REDIS_URL=redis://localhost:6379 freshet doctor --users 1000000 --items 50000',
  )
    .option('--sample <n>', `newest events looked at in each partition (${SAMPLE})`)
    .option('--users <n>', 'how many users are foreseen, for the memory forecast')
    .option('--items <n>', 'how many items are foreseen')
    .action(action(doctor))
}

async function doctor(call: Call): Promise<number> {
  const foreseen = (flag: 'users' | 'items'): number | undefined =>
    call.flags[flag] === undefined ? undefined : wholeNumber(flag, call.flags[flag], 0)
  const findings = await examine(call, {
    sample: wholeNumber('sample', call.flags.sample, SAMPLE, 1),
    users: foreseen('users'),
    items: foreseen('items'),
  })
  const isWrong = findings.some(finding => finding.verdict === 'wrong')
  answer(call, { ok: !isWrong, findings }, () => text(findings))
  return isWrong ? EXIT.checkFailed : EXIT.done
}

const colours = { ok: 'green', warning: 'yellow', wrong: 'red' } as const satisfies Record<
  Verdict,
  string
>

function text(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(finding => finding.check.length))
  const lines = findings.map(
    ({ check, verdict, says, remedy }) =>
      `${paint(colours[verdict], verdict.padEnd(7))}  ${check.padEnd(width)}  ${says}${remedy ? `  ${paint('bold', `-> ${remedy}`)}` : ''}`,
  )
  const tally = (verdict: Verdict): number =>
    findings.filter(finding => finding.verdict === verdict).length
  return [
    ...lines,
    `${tally('wrong')} wrong, ${tally('warning')} to think about, ${tally('ok')} ok`,
  ].join('\n')
}
