import type { Command } from 'commander';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { byOperator } from '../core/audit.ts';
import type { Role } from '../core/principal.ts';
import type { CommonOptions } from './options.ts';
import { configOf, duration, name, names, role, withCommonOptions } from './options.ts';
import type { Store } from '../store/sqlite/index.ts';
import { print, say, table } from './say.ts';
import { withStore } from './with-store.ts';

interface CreateOptions extends CommonOptions {
  readonly name: string;
  readonly tenant: string;
  readonly role: Role;
  readonly agents?: string[];
  readonly ttl?: number;
  readonly json?: boolean;
}

/** `mizan keys create|list|revoke` */
export function registerKeys(program: Command): void {
  const keys = program.command('keys').description('API keys: mz_…, shown once, kept as a hash');

  withCommonOptions(keys.command('create').description('print a new key on stdout; it is never shown again'))
    .option('--name <name>', 'what it is for', name, 'cli')
    .option('--tenant <name>', 'whose data it reaches', name, 'default')
    .option('--role <role>', 'admin, operator, member or viewer', role, 'member')
    .option('--agents <a,b>', 'only these agents; default: all, and models directly', names)
    .option('--ttl <time>', 'how long it is good: 1h, 30d; default: until it is revoked', duration)
    .option('--json', 'print the key with its id as JSON')
    .action(async (options: CreateOptions) => {
      const { newApiKey } = await import('../security/api-keys.ts');
      const { id, key, hash } = newApiKey();
      const createdAt = Date.now();
      const record: ApiKeyRecord = {
        id,
        hash,
        name: options.name,
        tenant: options.tenant,
        role: options.role,
        agents: options.agents ?? null,
        createdAt,
        expiresAt: options.ttl === undefined ? null : createdAt + options.ttl * 1000,
        revokedAt: null,
      };
      await withKeys(options, (store) => {
        store.apiKeys.insert(record);
        const { tenant } = record;
        store.audit.record(byOperator({ action: 'key.create', tenant, target: `key:${id}`, after: shown(record) }));
      });
      if (options.json === true) print(JSON.stringify({ key: key.reveal(), ...shown(record) }));
      else print(key.reveal());
    });

  withCommonOptions(keys.command('list').description('the keys there are, without what makes them keys'))
    .option('--json', 'print JSON')
    .action(async (options: CommonOptions & { readonly json?: boolean }) => {
      const records = (await withKeys(options, (store) => store.apiKeys.list())).map(shown);
      if (options.json === true) {
        print(JSON.stringify(records, null, 2));
        return;
      }
      const rows = records.map((key) => [
        key.id,
        key.name,
        key.tenant,
        key.role,
        key.agents?.join(',') ?? '*',
        key.state,
        key.created_at,
        key.expires_at ?? '-',
      ]);
      print(table(['ID', 'NAME', 'TENANT', 'ROLE', 'AGENTS', 'STATE', 'CREATED', 'EXPIRES'], rows));
    });

  withCommonOptions(
    keys.command('revoke').description('end a key at once').argument('<id>', 'its id, or the key'),
  ).action(async (given: string, options: CommonOptions) => {
    const { apiKeyId } = await import('../security/api-keys.ts');
    const id = apiKeyId(given) ?? given;
    const isDone = await withKeys(options, (store) => {
      const before = store.apiKeys.find(id);
      const isRevoked = store.apiKeys.revoke(id, Date.now());
      const after = store.apiKeys.find(id);
      if (before === undefined || after === undefined || !isRevoked) return isRevoked;
      const states = { before: shown(before), after: shown(after) };
      const { tenant } = before;
      store.audit.record(byOperator({ action: 'key.revoke', tenant, target: `key:${id}`, ...states }));
      return true;
    });
    say(isDone ? `The key ${id} is revoked.` : `There is no key ${id} that is not revoked yet.`);
    if (!isDone) process.exitCode = 1;
  });
}

async function withKeys<T>(options: CommonOptions, use: (store: Store) => T): Promise<T> {
  configOf(options);
  return withStore(options.data, use);
}

function shown(key: ApiKeyRecord) {
  const isExpired = key.expiresAt !== null && key.expiresAt <= Date.now();
  return {
    id: key.id,
    name: key.name,
    tenant: key.tenant,
    role: key.role,
    agents: key.agents,
    state: key.revokedAt !== null ? 'revoked' : isExpired ? 'expired' : 'active',
    created_at: new Date(key.createdAt).toISOString(),
    expires_at: key.expiresAt === null ? null : new Date(key.expiresAt).toISOString(),
    revoked_at: key.revokedAt === null ? null : new Date(key.revokedAt).toISOString(),
  };
}
