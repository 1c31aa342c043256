import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { ConfigError } from '../config/load.ts';
import { SetupError } from '../core/errors.ts';
import { registerAudit } from './audit.ts';
import { registerBackup } from './backup.ts';
import { registerCache } from './cache.ts';
import { registerBudgets } from './budgets.ts';
import { registerConfig } from './config.ts';
import { registerCrypt } from './crypt.ts';
import { registerDb } from './db.ts';
import { registerDoctor } from './doctor.ts';
import { registerInstances } from './instances.ts';
import { registerJobs } from './jobs.ts';
import { registerKeys } from './keys.ts';
import { registerMigrate } from './migrate.ts';
import { registerRehearse } from './rehearse/index.ts';
import { registerRequests } from './requests.ts';
import { registerSecrets } from './secrets.ts';
import { registerSimulate } from './simulate.ts';
import { registerStart } from './start.ts';
import { bringStoredSecrets } from './stored-secrets.ts';
import { registerTenants } from './tenants.ts';
import { registerToken } from './token.ts';
import { version } from './version.ts';

/** Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration. */
const wrongUsage = 2;

const program = new Command('mizan')
  .description('A self-hosted AI orchestrator: agents behind one HTTP door.')
  .version(version)
  .exitOverride()
  .showHelpAfterError('(add --help for what there is)');

for (const register of [
  registerStart,
  registerToken,
  registerKeys,
  registerRequests,
  registerBudgets,
  registerSecrets,
  registerTenants,
  registerCrypt,
  registerAudit,
  registerBackup,
  registerCache,
  registerJobs,
  registerInstances,
  registerConfig,
  registerMigrate,
  registerDb,
  registerDoctor,
  registerSimulate,
  registerRehearse,
]) {
  register(program);
}

program.hook('preAction', (_program, command) => bringStoredSecrets(command));

// `mizan requests | head` closes our end of the pipe: that is not an error.
process.stdout.on('error', (error: Error & { readonly code?: string }) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : wrongUsage;
  } else if (error instanceof ConfigError || error instanceof SetupError || error instanceof InvalidArgumentError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = wrongUsage;
  } else {
    throw error;
  }
}
