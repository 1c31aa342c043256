import { once } from 'node:events';
import type { Command } from 'commander';
import type { AuditEntry } from '../core/audit.ts';
import { publicAuditEntry } from '../core/audit.ts';
import { everyTenant } from '../core/request-record.ts';
import type { CommonOptions } from './options.ts';
import { configOf, name, wholeNumber, withCommonOptions } from './options.ts';
import { print, say, table } from './say.ts';
import { withStore } from './with-store.ts';

interface TenantOptions extends CommonOptions {
  readonly tenant?: string;
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
    .action(async (options: ListOptions) => {
      configOf(options);
      const { limit } = options;
      const entries = await withStore({ folder: options.data, url: null }, ({ auditHistory }) =>
        auditHistory.list(options.tenant ?? everyTenant, { limit }),
      );
      if (options.json === true) print(JSON.stringify(entries.map(publicAuditEntry), null, 2));
      else print(table(titles, entries.map(row)));
    });

  withTenant(audit.command('export').description('print all entries as lines of JSON, oldest first')).action(
    async (options: TenantOptions) => {
      configOf(options);
      await withStore({ folder: options.data, url: null }, async ({ auditHistory }) => {
        for await (const entry of auditHistory.walk(options.tenant ?? everyTenant)) {
          const isFull = !process.stdout.write(`${JSON.stringify(publicAuditEntry(entry))}\n`);
          if (isFull) await once(process.stdout, 'drain');
        }
      });
    },
  );

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
  return withCommonOptions(command).option('--tenant <name>', 'only those of this tenant; default: of all', name);
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
