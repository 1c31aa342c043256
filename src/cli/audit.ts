import { once } from 'node:events';
import type { Command } from 'commander';
import type { AuditEntry } from '../core/audit.ts';
import { publicAuditEntry } from '../core/audit.ts';
import { SetupError } from '../core/errors.ts';
import { everyTenant } from '../core/request-record.ts';
import type { EntryElsewhere } from '../store/postgres/audit-everywhere.ts';
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

/** `mizan audit list|export|verify` */
export function registerAudit(program: Command): void {
  const audit = program.command('audit').description('what was done to Mizan, by whom, and what was denied');

  withTenant(audit.command('list').description('the newest entries, newest first'))
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1000), 10)
    .option('--json', 'print JSON')
    .action((options: ListOptions) => (options.everywhere === true ? listEverywhere(options) : list(options)));

  withTenant(audit.command('export').description('print all entries as lines of JSON, oldest first')).action(exportAll);

  withCommonOptions(
    audit.command('verify').description('look for entries that were changed, removed, added or moved'),
  ).action(async (options: CommonOptions) => {
    configOf(options);
    const { databaseFile } = await import('../store/sqlite/file.ts');
    const { verifyAudit } = await import('../store/sqlite/audit-verify.ts');
    // Makes or mends the tables, so that there is something to look at.
    await withStore({ folder: options.data, url: null }, () => {});
    const verdict = verifyAudit(options.data, databaseFile);
    if (verdict.isWhole) {
      print(`The audit log is whole: ${verdict.entries} entries.`);
      return;
    }
    print(`The audit log is not whole: entry ${verdict.seq}: ${verdict.reason}.`);
    say('What stands there from that entry on proves nothing.');
    process.exitCode = 1;
  });
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
  const found: EntryElsewhere[] = [];
  for await (const each of await everywhere(options, options.limit)) found.push(each);
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
    for await (const found of await everywhere(options, null)) await printLine(publicElsewhere(found));
    return;
  }
  configOf(options);
  await withStore({ folder: options.data, url: null }, async ({ auditHistory }) => {
    for await (const entry of auditHistory.walk(options.tenant ?? everyTenant))
      await printLine(publicAuditEntry(entry));
  });
}

/** @throws SetupError where there is no PostgreSQL that machines could share. */
async function everywhere(options: TenantOptions, limit: number | null): Promise<AsyncGenerator<EntryElsewhere>> {
  const url = databaseUrl(options);
  if (url === null) throw new SetupError('--everywhere needs PostgreSQL: with SQLite there is one audit log.');
  // Brings the tables up to date, and sends what is new here.
  await withStore(placeOf(options), () => {});
  const { auditEverywhere } = await import('../store/postgres/audit-everywhere.ts');
  return auditEverywhere(url, { scope: options.tenant ?? everyTenant, limit });
}

function publicElsewhere({ host, log, entry }: EntryElsewhere) {
  return { host, log, ...publicAuditEntry(entry) };
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
