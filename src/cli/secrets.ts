import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { AuditLog } from '../core/audit.ts';
import { byOperator } from '../core/audit.ts';
import { SetupError } from '../core/errors.ts';
import type { SealPurpose } from '../core/sealing.ts';
import { sealPurposes } from '../core/sealing.ts';
import type { DataKey } from '../security/key-ring.ts';
import type { Store } from '../store/index.ts';
import type { CommonOptions } from './options.ts';
import { name, tenant as oneTenant, withCommonOptions } from './options.ts';
import { input, print, say, sayError, table } from './say.ts';
import { withVault } from './vault.ts';

interface RotateOptions extends CommonOptions {
  readonly tenant?: string;
  readonly purpose?: SealPurpose;
  readonly master?: boolean;
}

/** Longer ones are no keys. In bytes. */
const maxSecret = 65_536;

/** `mizan secrets set|remove|list|rotate|drop|export-message-key` */
export function registerSecrets(program: Command): void {
  const secrets = program.command('secrets').description('stored secrets, and the keys that everything is sealed with');

  withCommonOptions(secrets.command('set').description('store what comes on stdin; ${secret:NAME} in mizan.yaml is it'))
    .argument('<name>', 'what to call it', secretName)
    .action(async (given: string, options: CommonOptions) => {
      const value = (await input()).toString().replace(/\r?\n$/, '');
      if (value === '') throw new SetupError('There is no secret on stdin.');
      if (Buffer.byteLength(value) > maxSecret) throw new SetupError('The secret is longer than 64 KiB.');
      await withVault(options, ({ values }, audit) => {
        values.put('secret', given, Buffer.from(value));
        did(audit, 'secret.set', `secret:${given}`);
      });
      say(`The secret ${given} is stored; a running Mizan reads it when it starts again.`);
    });

  withCommonOptions(secrets.command('remove').description('remove a stored secret'))
    .argument('<name>', 'its name', secretName)
    .action(async (given: string, options: CommonOptions) => {
      const isDone = await withVault(options, ({ values }, audit) => {
        const isThere = values.remove('secret', given);
        if (isThere) did(audit, 'secret.remove', `secret:${given}`);
        return isThere;
      });
      say(isDone ? `The secret ${given} is removed.` : `There is no secret ${given}.`);
      if (!isDone) process.exitCode = 1;
    });

  withCommonOptions(
    secrets.command('list').description('the keys and the stored secrets there are, without what they are'),
  )
    .option('--json', 'print JSON')
    .action(async (options: CommonOptions & { readonly json?: boolean }) => {
      const { keys, stored } = await withVault(options, (vault) => ({
        keys: vault.keys().map(shown),
        stored: vault.values.list('secret').map(({ name: own, createdAt, updatedAt }) => ({
          name: own,
          created_at: new Date(createdAt).toISOString(),
          updated_at: new Date(updatedAt).toISOString(),
        })),
      }));
      if (options.json === true) {
        print(JSON.stringify({ keys, secrets: stored }, null, 2));
        return;
      }
      const rows = keys.map((key) => [key.id, key.tenant, key.purpose, key.state, key.created_at, `≤ ${key.uses}`]);
      print(table(['KEY', 'TENANT', 'PURPOSE', 'STATE', 'CREATED', 'USES'], rows));
      if (stored.length > 0) print('');
      if (stored.length > 0)
        print(
          table(
            ['SECRET', 'SET'],
            stored.map((each) => [each.name, each.updated_at]),
          ),
        );
    });

  withCommonOptions(secrets.command('rotate').description('new keys at once; what is sealed is sealed anew under them'))
    .option('--tenant <name>', 'only those of this tenant', name)
    .option('--purpose <purpose>', `only those for ${sealPurposes.join(', ')}`, purpose)
    .option('--master', 'the master key instead: all keys are wrapped with the new one')
    .addHelpText('after', '\nExit codes: 0 done, 1 something could not be opened, 2 wrong usage or configuration.')
    .action((options: RotateOptions) =>
      withVault(options, (vault, audit, { sealedJobs }) => rotate({ vault, audit, sealedJobs }, options)).catch(
        sayError,
      ),
    );

  withCommonOptions(secrets.command('drop').description('destroy a retired key: what is left under it is lost'))
    .argument('<key>', 'its id')
    .action(async (id: string, options: CommonOptions) => {
      const isDone = await withVault(options, async (vault, audit, { sealedJobs }) => {
        if ((await sealedJobs.count(id)) > 0) return false;
        const isGone = vault.dropKey(id);
        if (isGone) did(audit, 'data-key.drop', `data-key:${id}`);
        return isGone;
      });
      say(isDone ? `The key ${id} is destroyed.` : `There is no retired key ${id} that no row needs.`);
      if (!isDone) process.exitCode = 1;
    });

  withCommonOptions(
    secrets
      .command('export-message-key')
      .description('print the key that a tenant encrypts messages with, as a JWK: whoever has it can read them'),
  )
    .option('--tenant <name>', 'whose', oneTenant, 'default')
    .action((options: CommonOptions & { readonly tenant: string }) =>
      withVault(options, ({ ring }, audit) => {
        const { id, secret } = ring.take(options.tenant, 'message');
        did(audit, 'data-key.export', `data-key:${id}`, options.tenant);
        print(JSON.stringify({ ...secret.export({ format: 'jwk' }), kid: id, alg: 'dir', use: 'enc' }));
      }).catch(sayError),
    );
}

/** What concerns no tenant in particular concerns Mizan itself. */
function did(audit: AuditLog, action: string, target: string | null, tenant = 'system'): void {
  audit.record(byOperator({ action, tenant, target }));
}

interface Room extends Pick<Store, 'vault' | 'audit' | 'sealedJobs'> {}

async function rotate({ vault, audit, sealedJobs }: Room, options: RotateOptions): Promise<void> {
  const { tenant, purpose: only } = options;
  if (options.master === true) {
    say(`${vault.rotateMaster()} keys are wrapped with the new master key.`);
    did(audit, 'master-key.rotate', null);
    return;
  }
  did(audit, 'data-key.rotate', only === undefined ? null : `purpose:${only}`, tenant);
  say(`${vault.renew({ tenant, purpose: only })} new keys seal from now on.`);
  const progress = new Progress();
  const work = vault.rotation.reseal();
  let step = work.next();
  for (; step.done !== true; step = work.next()) progress.show(step.value.done, step.value.total);
  progress.end();
  const jobs = await sealedJobs.upkeep(vault.rotation.retiredFor('job'));
  const done = step.value.done + jobs.done + jobs.damaged.length;
  const damaged = [...step.value.damaged, ...jobs.damaged];
  for (const row of damaged) say(row);
  if (damaged.length > 0) process.exitCode = 1;
  const removed = vault.sweep().length;
  const retired = vault.keys().filter(({ state }) => state === 'retired').length;
  say(`${done - damaged.length} rows are sealed anew. ${removed} old keys are gone; ${retired} are left to open with.`);
  if (retired > 0) say('A running Mizan removes those that nothing needs, a minute after they were replaced.');
}

/** On a terminal, one line that changes. */
class Progress {
  #shownAt = 0;

  show(done: number, total: number): void {
    if (!process.stderr.isTTY) return;
    const now = performance.now();
    if (now - this.#shownAt < 100 && done < total) return;
    this.#shownAt = now;
    process.stderr.write(`\r${done} of ${total} rows (${Math.floor((done / total) * 100)} %)`);
  }

  end(): void {
    if (process.stderr.isTTY && this.#shownAt > 0) process.stderr.write('\n');
  }
}

function shown({ id, tenant, purpose: of, state, master, uses, createdAt, retiredAt }: Omit<DataKey, 'wrapped'>) {
  return {
    id,
    tenant,
    purpose: of,
    state,
    master,
    created_at: new Date(createdAt).toISOString(),
    retired_at: retiredAt === null ? null : new Date(retiredAt).toISOString(),
    uses,
  };
}

function secretName(text: string): string {
  if (/^[A-Za-z0-9][\w.-]{0,63}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected 1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit.');
}

function purpose(text: string): SealPurpose {
  const found = sealPurposes.find((known) => known === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of ${sealPurposes.join(', ')}.`);
  return found;
}
