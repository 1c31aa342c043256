import type { AuditEntry } from '../../core/audit.ts';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import { entryOf } from '../sqlite/audit-history.ts';
import { kyselyOver, openPool } from './connection.ts';

/** An entry of the audit log of one of several machines. */
export interface EntryElsewhere {
  readonly entry: AuditEntry;
  /** Names the log it is of: 16 hex digits. */
  readonly log: string;
  readonly host: string;
}

/** Entries that are read at a time where all are. */
const pageSize = 500;

/**
 * The entries of all machines' audit logs, as PostgreSQL at `url` has them: the newest `limit`, newest first, or all of
 * them, log by log, oldest first.
 */
export async function* auditEverywhere(
  url: string,
  { scope, limit }: { readonly scope: TenantScope; readonly limit: number | null },
): AsyncGenerator<EntryElsewhere> {
  const db = kyselyOver(openPool(url, { max: 1, statementTimeoutMs: 60_000 }));
  try {
    const all = db.selectFrom('audit_copies').selectAll();
    const select = scope === everyTenant ? all : all.where('tenant', '=', scope);
    if (limit !== null) {
      const newest = select.orderBy('time', 'desc').orderBy('log').orderBy('seq', 'desc').limit(limit);
      for (const { log, host, ...row } of await newest.execute()) yield { entry: entryOf(row), log, host };
      return;
    }
    const ordered = select.orderBy('log').orderBy('seq').orderBy('mac').limit(pageSize);
    for (let page = await ordered.execute(); ;) {
      for (const { log, host, ...row } of page) yield { entry: entryOf(row), log, host };
      const last = page.at(-1);
      if (last === undefined || page.length < pageSize) return;
      const after = [last.log, last.seq, last.mac] as const;
      page = await ordered
        .where((where) => where(where.refTuple('log', 'seq', 'mac'), '>', where.tuple(...after)))
        .execute();
    }
  } finally {
    await db.destroy();
  }
}
