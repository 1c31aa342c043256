import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { AuditHistory } from '../core/audit.ts';
import { byOperator } from '../core/audit.ts';
import { SetupError } from '../core/errors.ts';
import type { SealPurpose } from '../core/sealing.ts';
import type { CommonOptions } from './options.ts';
import type { Vault } from '../store/sqlite/vault.ts';
import { name, withCommonOptions } from './options.ts';
import { say, sayError } from './say.ts';
import { withVault } from './vault.ts';

/** What can't be read any more once the key for it is destroyed. */
const losses: Readonly<Record<SealPurpose, string>> = {
  secret: 'its stored secrets',
  'api-key': 'its API keys: none of them is accepted any more',
  payload: 'what was said and answered, in the log',
  job: 'what its jobs are given, without which they fail, and what came of them',
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
      withVault(options, async (vault, audit, { auditHistory }) => {
        const keys = vault.keys().filter((key) => key.tenant === tenant);
        if (keys.length === 0) {
          // A run before this one may not have come to the end.
          if (await wasForgotten(tenant, auditHistory)) {
            if (shred(vault, tenant)) say(`The tenant ${tenant} was forgotten before; no key of it is left.`);
            return;
          }
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
        const { length } = vault.forgetTenant(tenant);
        audit.record(
          byOperator({ action: 'tenant.forget', tenant, target: `tenant:${tenant}`, after: { keys: length } }),
        );
        if (!shred(vault, tenant)) return;
        say('They are destroyed. Copies of the database from before still have them, wrapped by the master key.');
      }).catch(sayError),
    );
}

/** The entries of the log that are looked through. */
const remembered = 1000;

async function wasForgotten(tenant: string, history: AuditHistory): Promise<boolean> {
  const entries = await history.list(tenant, { limit: remembered });
  return entries.some(({ action }) => action === 'tenant.forget');
}

/** Sees that the keys are in none of the database's files; says so where they still are. */
function shred(vault: Vault, tenant: string): boolean {
  if (vault.shred()) return true;
  say(
    `The keys are removed, and nobody gets in or reads anything by them. But somebody is reading the database as it was ` +
      `(a backup, a query), so that they still lie in its write-ahead log, wrapped by the master key. Run ` +
      `"mizan tenants forget ${tenant}" again when that is over.`,
  );
  process.exitCode = 1;
  return false;
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
