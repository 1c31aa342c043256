import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { ApiKeyRecord, KeyLimits, SeenApiKey } from '../core/api-key.ts';
import { publicKey, usualOverlap } from '../core/api-key.ts';
import { parseDuration } from '../core/duration.ts';
import { byOperator } from '../core/audit.ts';
import { budgetPeriods, isBudgetUsd, maxBudgetUsd } from '../core/limit.ts';
import { isTimeZone } from '../core/period.ts';
import type { Role } from '../core/principal.ts';
import type { Priority } from '../core/priority.ts';
import { everyTenant } from '../core/request-record.ts';
import type { CommonOptions } from './options.ts';
import { configOf, duration, name, names, priority, role, tenant, wholeNumber, withCommonOptions } from './options.ts';
import type { Store } from '../store/index.ts';
import { print, say, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface CreateOptions extends CommonOptions {
  readonly name: string;
  readonly tenant: string;
  readonly anyTenant?: boolean;
  readonly role: Role;
  readonly agents?: string[];
  readonly models?: string[];
  readonly ttl?: number;
  readonly rpm?: number;
  readonly tpm?: number;
  readonly maxInFlight?: number;
  readonly budget?: KeyLimits['budget'];
  readonly priority?: Priority;
  readonly json?: boolean;
}

const limit = wholeNumber(1, 1_000_000_000);

/** `mizan keys create|list|revoke|rotate` */
export function registerKeys(program: Command): void {
  const keys = program.command('keys').description('API keys: mz_…, shown once, kept as a hash');

  withCommonOptions(keys.command('create').description('print a new key on stdout; it is never shown again'))
    .option('--name <name>', 'what it is for', name, 'cli')
    .option('--tenant <name>', 'whose data it reaches', tenant, 'default')
    .option('--any-tenant', 'its role reaches every tenant: for those who run this Mizan')
    .option('--role <role>', 'admin, operator, member or viewer', role, 'member')
    .option('--agents <a,b>', 'only these agents; default: all, and models directly', names)
    .option('--models <a,b>', 'only these models directly; default: all, or none where agents are named', names)
    .option('--ttl <time>', 'how long it is good: 1h, 30d; default: until it is revoked', duration)
    .option('--rpm <n>', 'requests per minute', limit)
    .option('--tpm <n>', 'tokens per minute', limit)
    .option('--max-in-flight <n>', 'requests at the same time', limit)
    .option(
      '--budget <usd/period>',
      'money: 10/day; also per hour, week, month, or in total; 10/day/Asia/Riyadh for days there',
      budget,
    )
    .option('--priority <class>', 'its requests: low, normal or high; default: normal', priority)
    .option('--json', 'print the key with its id as JSON')
    .action(create);

  withCommonOptions(keys.command('list').description('the keys there are, without what makes them keys'))
    .option('--tenant <name>', "only this tenant's; default: of all", name)
    .option('--json', 'print JSON')
    .action(list);

  withCommonOptions(
    keys.command('revoke').description('end a key at once').argument('<id>', 'its id, or the key'),
  ).action(async (given: string, options: CommonOptions) => {
    const id = await idOf(given);
    const isDone = await withKeys(options, (store) => {
      const before = store.apiKeys.look(id);
      const isRevoked = store.apiKeys.revoke(id, Date.now());
      if (before !== undefined && isRevoked) {
        audit(store, 'key.revoke', { before, after: store.apiKeys.look(id) });
      }
      return isRevoked;
    });
    say(isDone ? `The key ${id} is revoked.` : notThere(id));
    if (!isDone) process.exitCode = 1;
  });

  withCommonOptions(keys.command('rotate').description('give a key another secret, and print it on stdout'))
    .argument('<id>', 'its id, or the key')
    .option('--overlap <time>', 'how long the old secret stays good: 0, 1h, 7d', overlap, usualOverlap)
    .option('--json', 'print the key with its id as JSON')
    .action(rotate);
}

async function create(options: CreateOptions): Promise<void> {
  const { newApiKey } = await import('../security/api-keys.ts');
  const config = configOf(options);
  for (const agent of options.agents ?? []) {
    if (!(agent in config.agents)) say(`Note: there is no agent "${agent}" in the configuration.`);
  }
  const { id, key, hash } = newApiKey();
  const createdAt = Date.now();
  const { rpm = null, tpm = null, maxInFlight = null, budget: money = null, priority: given } = options;
  const record: ApiKeyRecord = {
    id,
    hash,
    name: options.name,
    tenant: options.tenant,
    scope: options.anyTenant === true ? 'any' : 'own',
    role: options.role,
    agents: options.agents ?? null,
    models: options.models ?? null,
    limits: { rpm, tpm, maxInFlight, budget: money, ...(given === undefined ? {} : { priority: given }) },
    createdAt,
    expiresAt: options.ttl === undefined ? null : createdAt + options.ttl * 1000,
    revokedAt: null,
    rotatedAt: null,
    previous: null,
  };
  await withKeys(options, (store) => {
    store.apiKeys.insert(record);
    audit(store, 'key.create', { after: record });
  });
  printKey(key.reveal(), record, options.json === true);
}

async function withKeys<T>(options: CommonOptions, use: (store: Store) => T): Promise<T> {
  const { MasterKeys } = await import('../security/master-keys.ts');
  const { security } = configOf(options);
  return withStore(placeOf(options), use, new MasterKeys(security.masterKey, options.data));
}

/** Leaves in the audit log what became of a key. */
function audit(
  store: Store,
  action: string,
  { before, after }: { readonly before?: SeenApiKey; readonly after: SeenApiKey | undefined },
): void {
  const shown = (key: SeenApiKey | undefined) => (key === undefined ? null : publicKey(key, undefined, Date.now()));
  const key = after ?? before;
  if (key === undefined) return;
  const states = { before: shown(before), after: shown(after) };
  store.audit.record(byOperator({ action, tenant: key.tenant, target: `key:${key.id}`, ...states }));
}

async function list(options: CommonOptions & { readonly tenant?: string; readonly json?: boolean }): Promise<void> {
  const now = Date.now();
  const records = await withKeys(options, ({ apiKeys }) => {
    const lastUsed = apiKeys.lastUsed();
    return apiKeys.list(options.tenant ?? everyTenant).map((key) => publicKey(key, lastUsed.get(key.id), now));
  });
  if (options.json === true) {
    print(JSON.stringify(records, null, 2));
    return;
  }
  const rows = records.map((key) => [
    key.id,
    key.name,
    key.any_tenant ? `${key.tenant} (any)` : key.tenant,
    key.role,
    key.agents?.join(',') ?? '*',
    key.models?.join(',') ?? (key.agents === null ? '*' : '-'),
    key.state,
    key.created_at ?? '-',
    key.expires_at ?? '-',
    key.last_used_at ?? '-',
  ]);
  const titles = ['ID', 'NAME', 'TENANT', 'ROLE', 'AGENTS', 'MODELS', 'STATE', 'CREATED', 'EXPIRES', 'LAST USED'];
  print(table(titles, rows));
}

interface RotateOptions extends CommonOptions {
  readonly overlap: number;
  readonly json?: boolean;
}

async function rotate(given: string, options: RotateOptions): Promise<void> {
  const { newApiKey } = await import('../security/api-keys.ts');
  const { id, key, hash } = newApiKey(await idOf(given));
  const at = Date.now();
  const previousUntil = at + options.overlap * 1000;
  const record = await withKeys(options, (store) => {
    const before = store.apiKeys.find(id);
    const after = store.apiKeys.rotate(id, { hash, at, previousUntil });
    if (before !== undefined && after !== undefined) audit(store, 'key.rotate', { before, after });
    return after;
  });
  if (record === undefined) {
    say(notThere(id));
    process.exitCode = 1;
    return;
  }
  say(`The old secret of the key ${id} is good until ${new Date(previousUntil).toISOString()}.`);
  printKey(key.reveal(), record, options.json === true);
}

function printKey(key: string, record: ApiKeyRecord, asJson: boolean): void {
  print(asJson ? JSON.stringify({ key, ...publicKey(record, undefined, Date.now()) }) : key);
}

async function idOf(given: string): Promise<string> {
  const { apiKeyId } = await import('../security/api-keys.ts');
  return apiKeyId(given) ?? given;
}

function notThere(id: string): string {
  return `There is no key ${id} that is not revoked yet.`;
}

/** `10/day`, `0.5/hour`, `100/total`, `10/day/Asia/Riyadh` */
function budget(text: string): KeyLimits['budget'] {
  const [, usd = '', period, timezone] = /^(\d+(?:\.\d+)?)\/(\w+)(?:\/(.+))?$/.exec(text) ?? [];
  const per = budgetPeriods.find((known) => known === period);
  if (timezone !== undefined && !isTimeZone(timezone)) {
    throw new InvalidArgumentError(`Expected a time zone such as Asia/Riyadh, not "${timezone}".`);
  }
  if (per !== undefined && isBudgetUsd(Number(usd))) {
    return { usd: Number(usd), per, ...(timezone === undefined ? {} : { timezone }) };
  }
  throw new InvalidArgumentError(
    `Expected US dollars per ${budgetPeriods.join(', ')}, such as 10/day: up to ${maxBudgetUsd}, with at most six decimals.`,
  );
}

function overlap(text: string): number {
  const found = parseDuration(text);
  if (found !== undefined) return found;
  throw new InvalidArgumentError('Expected a time such as 0, 1h or 7d.');
}
