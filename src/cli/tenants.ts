import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { byOperator } from '../core/audit.ts';
import { SetupError } from '../core/errors.ts';
import type { SealPurpose } from '../core/sealing.ts';
import type { CommonOptions } from './options.ts';
import { name, withCommonOptions } from './options.ts';
import { say, sayError } from './say.ts';
import { withVault } from './vault.ts';

/** What can't be read any more once the key for it is destroyed. */
const losses: Readonly<Record<SealPurpose, string>> = {
  secret: 'its stored secrets',
  'api-key': 'its API keys: none of them is accepted any more',
  payload: 'what was said and answered, in the log',
  cache: 'its cached answers',
  session: 'what its sessions remember',
  backup: 'its backups',
  message: 'messages encrypted with its key',
};

/** `mizan tenants forget NAME` */
export function registerTenants(program: Command): void {
  const tenants = program.command('tenants').description('whose data it is');
  withCommonOptions(
    tenants.command('forget').description("destroy a tenant's keys: what was sealed under them is lost for good"),
  )
    .argument('<name>', 'the tenant', name)
    .option('--yes', "don't ask")
    .action((tenant: string, options: CommonOptions & { readonly yes?: boolean }) =>
      withVault(options, async (vault, audit) => {
        const keys = vault.keys().filter((key) => key.tenant === tenant);
        if (keys.length === 0) {
          say(`There is no key of the tenant ${tenant}.`);
          process.exitCode = 1;
          return;
        }
        say(`With ${keys.length} keys of the tenant ${tenant}, this can't be read any more, by anybody:`);
        for (const purpose of new Set(keys.map((key) => key.purpose))) say(`  - ${losses[purpose]}`);
        if (options.yes !== true && !(await confirms(tenant))) {
          say('Nothing was done.');
          process.exitCode = 1;
          return;
        }
        vault.forgetTenant(tenant);
        audit.record(byOperator({ action: 'tenant.forget', tenant, target: `tenant:${tenant}` }));
        say('They are destroyed. Copies of the database from before still have them, wrapped by the master key.');
      }).catch(sayError),
    );
}

async function confirms(tenant: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new SetupError('Add --yes: there is nobody here to ask.');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`Type ${tenant} to go on: `)) === tenant;
  } finally {
    terminal.close();
  }
}
