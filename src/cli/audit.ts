import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { AuditEntry } from '../core/audit.ts';
import { publicAuditEntry, publicElsewhere } from '../core/audit.ts';
import { SetupError } from '../core/errors.ts';
import { everyTenant } from '../core/request-record.ts';
import type { CopiesVerdict, LogKey } from '../store/postgres/audit-copies-check.ts';
import type { CommonOptions } from './options.ts';
import { configOf, databaseUrl, name, wholeNumber, withCommonOptions } from './options.ts';
import { print, say, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface TenantOptions extends CommonOptions {
  readonly tenant?: string;
  readonly everywhere?: boolean;
}

interface ListOptions extends TenantOptions {
  readonly limit: number;
  readonly json?: boolean;
}

interface VerifyOptions extends CommonOptions {
  readonly everywhere?: boolean;
  readonly key: readonly string[];
}

/** `mizan audit list|export|verify` */
export function registerAudit(program: Command): void {
  const audit = program.command('audit').description('what was done to Mizan, by whom, and what was denied');

  withTenant(audit.command('list').description('the newest entries, newest first'))
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1000), 10)
    .option('--json', 'print JSON')
    .action((options: ListOptions) => (options.everywhere === true ? listEverywhere(options) : list(options)));

  withTenant(audit.command('export').description('print all entries as lines of JSON, oldest first')).action(exportAll);

  withCommonOptions(audit.command('verify').description('look for entries that were changed, removed, added or moved'))
    .option(
      '--everywhere',
      'and in what all machines on the same PostgreSQL copied there, as far as their keys are known',
    )
    .option('--key <file>', 'with --everywhere: the audit.key of another machine; may be given again', another, [])
    .action(verify);
}

function withTenant(command: Command): Command {
  return withCommonOptions(command)
    .option('--tenant <name>', 'only those of this tenant; default: of all', name)
    .option('--everywhere', 'those of all machines on the same PostgreSQL, as they were copied there');
}

async function list(options: ListOptions): Promise<void> {
  configOf(options);
  const { limit } = options;
  const entries = await withStore({ folder: options.data, url: null }, ({ auditHistory }) =>
    auditHistory.list(options.tenant ?? everyTenant, { limit }),
  );
  if (options.json === true) print(JSON.stringify(entries.map(publicAuditEntry), null, 2));
  else print(table(titles, entries.map(row)));
}

async function listEverywhere(options: ListOptions): Promise<void> {
  await broughtTogether(options);
  const { limit } = options;
  const found = await withStore(placeOf(options), ({ auditHistory }) =>
    auditHistory.everywhere(options.tenant ?? everyTenant, { limit }),
  );
  if (options.json === true) print(JSON.stringify(found.map(publicElsewhere), null, 2));
  else
    print(
      table(
        ['HOST', 'LOG', ...titles],
        found.map(({ host, log, entry }) => [host, log, ...row(entry)]),
      ),
    );
}

async function exportAll(options: TenantOptions): Promise<void> {
  if (options.everywhere === true) {
    await exportEverywhere(options);
    return;
  }
  configOf(options);
  await withStore({ folder: options.data, url: null }, async ({ auditHistory }) => {
    for await (const entry of auditHistory.walk(options.tenant ?? everyTenant))
      await printLine(publicAuditEntry(entry));
  });
}

async function exportEverywhere(options: TenantOptions): Promise<void> {
  const url = await broughtTogether(options);
  const { auditCopies, elsewhere } = await import('../store/postgres/audit-everywhere.ts');
  const { kyselyOver, openPool } = await import('../store/postgres/connection.ts');
  const database = kyselyOver(openPool(url, { max: 1, statementTimeoutMs: 60_000 }));
  try {
    for await (const copy of auditCopies(database, options.tenant ?? everyTenant))
      await printLine(publicElsewhere(elsewhere(copy)));
  } finally {
    await database.destroy();
  }
}

/**
 * Brings the tables up to date, and sends what is new here.
 * @returns Where it was sent to.
 * @throws SetupError where there is no PostgreSQL that machines could share.
 */
async function broughtTogether(options: CommonOptions): Promise<string> {
  const url = databaseUrl(options);
  if (url === null) throw new SetupError('--everywhere needs PostgreSQL: with SQLite there is one audit log.');
  await withStore(placeOf(options), () => {});
  return url;
}

async function verify(options: VerifyOptions): Promise<void> {
  configOf(options);
  const { databaseFile } = await import('../store/sqlite/file.ts');
  const { verifyAudit } = await import('../store/sqlite/audit-verify.ts');
  const everywhere = options.everywhere === true;
  if (!everywhere && options.key.length > 0) throw new SetupError('--key belongs to --everywhere.');
  const url = everywhere ? await broughtTogether(options) : null;
  // Makes or mends the tables, so that there is something to look at.
  await withStore({ folder: options.data, url: null }, () => {});
  const verdict = verifyAudit(options.data, databaseFile);
  if (verdict.isWhole) print(`The audit log is whole: ${verdict.entries} entries.`);
  else print(`The audit log is not whole: entry ${verdict.seq}: ${verdict.reason}.`);
  let isWhole = verdict.isWhole;
  if (url !== null) {
    const { checkCopies } = await import('../store/postgres/audit-copies-check.ts');
    for (const found of await checkCopies(url, await keysOf(options))) {
      print(sayingOf(found));
      isWhole &&= typeof found.verdict === 'string';
    }
  }
  if (isWhole) return;
  say('What stands there from that entry on proves nothing.');
  process.exitCode = 1;
}

/** The data folder's own, with how far its log has got, and those that were given. */
async function keysOf({ data, key: files }: VerifyOptions): Promise<LogKey[]> {
  const { AuditChain, auditKeyFile } = await import('../store/sqlite/audit-chain.ts');
  const { secretFile } = await import('../security/secret-file.ts');
  const keys: LogKey[] = files.map((file) => {
    if (!existsSync(file)) throw new SetupError(`--key ${file}: there is no such file.`);
    return { key: secretFile(dirname(file), basename(file)), head: null };
  });
  if (!existsSync(join(data, auditKeyFile))) return keys;
  const key = secretFile(data, auditKeyFile);
  const head = new AuditChain(key).readHead(data);
  // A head that is damaged was said of the log itself.
  return [...keys, { key, head: head === 'damaged' ? null : head }];
}

function sayingOf({ host, log, entries, verdict }: CopiesVerdict): string {
  const copies = `The copies of ${host}'s log ${log}`;
  if (verdict === 'whole') return `${copies} are whole: ${entries} entries.`;
  if (verdict === 'unchecked') return `${copies} were not checked: its key is not here (--key). ${entries} entries.`;
  return `${copies} are not whole: entry ${verdict.seq}: ${verdict.reason}.`;
}

function another(file: string, files: readonly string[]): string[] {
  return [...files, file];
}

async function printLine(value: object): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify(value)}\n`)) await once(process.stdout, 'drain');
}

const titles = ['SEQ', 'TIME', 'ACTOR', 'TENANT', 'ACTION', 'OUTCOME', 'COUNT', 'FROM', 'TARGET'];

function row(entry: AuditEntry): string[] {
  const { actor } = entry;
  return [
    String(entry.seq),
    new Date(entry.time).toISOString(),
    actor === null ? '-' : typeof actor === 'string' ? actor : actor.subject,
    entry.tenant,
    entry.action,
    entry.outcome,
    String(entry.count),
    entry.from ?? '-',
    entry.target ?? '-',
  ];
}
