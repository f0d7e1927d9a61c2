/** `supervised-program.ts WORKERS HOW`: supervises itself; its children do what HOW says and tell of it on standard output. */
import { createLogger } from '../../bin/logger.ts'
import { endSupervised, onSupervisorGone } from '../../bin/supervised.ts'
import { supervise } from '../../bin/supervisor.ts'
import { FreshetError } from '../../streams/errors.ts'

const [workers, how] = process.argv.slice(2)
if (workers !== 'child') {
  const argumentsOf = (): string[] => [...process.execArgv, process.argv[1], 'child', how]
  if (how === 'unspawnable') {
    // as where the system has no process left for a while
    const { execPath } = process
    process.execPath = '/there/is/no/such/program'
    setTimeout(() => {
      process.execPath = execPath
    }, 400)
  }
  process.exitCode = await supervise(Number(workers), argumentsOf, createLogger('info'))
} else {
  onSupervisorGone(() => {
    process.stdout.write(`orphan ${process.pid} left\n`)
    process.exit(0)
  })
  process.on('SIGTERM', () => {
    process.stdout.write(`child ${process.pid} stopped\n`)
    // one that hangs hears only of the second signal
    if (how !== 'hangs') process.exit(0)
  })
  process.stdout.write(`child ${process.pid}\n`)
  if (how === 'fatal')
    process.exit(await endSupervised(new FreshetError('POSITION_LOST', 'records are gone')))
  if (how === 'unreachable')
    process.exit(
      await endSupervised(new FreshetError('DEPENDENCY_UNREACHABLE', 'away')).catch(() => 1),
    )
  setInterval(() => undefined, 1_000)
}
