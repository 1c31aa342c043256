import type { Kysely, Selectable } from 'kysely';
import type { AuditEntry, AuditHistory, AuditQuery, EntryElsewhere, EverywhereQuery } from '../../core/audit.ts';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { AuditCopiesTable, Database } from '../schema.ts';
import { entryOf } from '../sqlite/audit-history.ts';

/** An entry as a machine copied it. */
export type AuditCopy = Selectable<AuditCopiesTable>;

/** Entries that are read at a time where all are. */
const pageSize = 500;

/** Of a `mac`, in a place: enough to tell apart what has the same number in the same log. */
const macDigits = 16;

/** A machine's own audit log, and what all machines on the same PostgreSQL have copied there. */
export class PostgresAuditHistory implements AuditHistory {
  readonly #own: AuditHistory;
  readonly #database: Kysely<Database>;

  constructor(own: AuditHistory, database: Kysely<Database>) {
    this.#own = own;
    this.#database = database;
  }

  list(scope: TenantScope, query: AuditQuery): Promise<AuditEntry[]> {
    return this.#own.list(scope, query);
  }

  walk(scope: TenantScope): AsyncIterable<AuditEntry> {
    return this.#own.walk(scope);
  }

  async everywhere(scope: TenantScope, { limit, before }: EverywhereQuery): Promise<EntryElsewhere[]> {
    const all = this.#database.selectFrom('audit_copies').selectAll();
    let select = scope === everyTenant ? all : all.where('tenant', '=', scope);
    if (before !== undefined) {
      const [time, log = '', seq, mac = ''] = before.split('_');
      const place = [Number(time), log, Number(seq), mac] as const;
      select = select.where((is) => is(is.refTuple('time', 'log', 'seq', 'mac'), '<', is.tuple(...place)));
    }
    const newest = select.orderBy('time', 'desc').orderBy('log', 'desc').orderBy('seq', 'desc').orderBy('mac', 'desc');
    return (await newest.limit(limit).execute()).map(elsewhere);
  }
}

/** All copies, log by log, oldest first; a page at a time is in memory. */
export async function* auditCopies(database: Kysely<Database>, scope: TenantScope): AsyncGenerator<AuditCopy> {
  const all = database.selectFrom('audit_copies').selectAll();
  const select = scope === everyTenant ? all : all.where('tenant', '=', scope);
  const ordered = select.orderBy('log').orderBy('seq').orderBy('mac').limit(pageSize);
  for (let page = await ordered.execute(); ;) {
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    const after = [last.log, last.seq, last.mac] as const;
    page = await ordered.where((is) => is(is.refTuple('log', 'seq', 'mac'), '>', is.tuple(...after))).execute();
  }
}

export function elsewhere({ log, host, ...row }: AuditCopy): EntryElsewhere {
  const place = [row.time, log, row.seq, row.mac.slice(0, macDigits)].join('_');
  return { entry: entryOf(row), log, host, place };
}
