/** The command `freshet` (CONTRACT 4). */
import { Command, CommanderError } from 'commander'
import { EXIT, report } from './call.ts'
import { archiveCommand } from './commands/archive.ts'
import { configCommand } from './commands/config.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { eraseCommand } from './commands/erase.ts'
import { evaluateCommand } from './commands/evaluate.ts'
import { experimentsCommand } from './commands/experiments.ts'
import { explainCommand } from './commands/explain.ts'
import { featuresCommand } from './commands/features.ts'
import { importCommand } from './commands/import.ts'
import { inspectCommand } from './commands/inspect.ts'
import { modelsCommand } from './commands/models.ts'
import { rebuildCommand } from './commands/rebuild.ts'
import { referenceCommand } from './commands/reference.ts'
import { replayCommand } from './commands/replay.ts'
import { replayPartCommand } from './commands/replay-part.ts'
import { resetCommand } from './commands/reset.ts'
import { runCommand } from './commands/run.ts'
import { simulateCommand } from './commands/simulate.ts'
import { topicsCommand } from './commands/topics.ts'
import { topkCommand } from './commands/topk.ts'

const program = new Command('freshet')
  .description(
    'Keeps a recommender fresh: from Kafka events to Redis top-k lists in under a second',
  )
  .version('0.1.0')
  .exitOverride()
  .showHelpAfterError('(--help says how)')

for (const made of [
  demoCommand(),
  runCommand(),
  topicsCommand(),
  simulateCommand(),
  importCommand(),
  archiveCommand(),
  replayCommand(),
  topkCommand(),
  explainCommand(),
  inspectCommand(),
  modelsCommand(),
  experimentsCommand(),
  referenceCommand(),
  featuresCommand(),
  rebuildCommand(),
  eraseCommand(),
  doctorCommand(),
  evaluateCommand(),
  configCommand(),
  resetCommand(),
])
  program.addCommand(made)
program.addCommand(replayPartCommand(), { hidden: true })

try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.wrongCall
  else process.exitCode = report(error)
}
