import type { Kysely, Selectable } from 'kysely';
import type { AuditEntry, AuditHistory, AuditQuery, EntryElsewhere } from '../../core/audit.ts';
import { MizanError } from '../../core/errors.ts';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { AuditTable, Database } from '../schema.ts';

/** Entries that are read at a time where all are. */
const pageSize = 500;

/** Reads the audit log. */
export class SqliteAuditHistory implements AuditHistory {
  readonly #database: Kysely<Database>;

  constructor(database: Kysely<Database>) {
    this.#database = database;
  }

  async list(scope: TenantScope, { limit, before }: AuditQuery): Promise<AuditEntry[]> {
    const all = this.#of(scope);
    const select = before === undefined ? all : all.where('seq', '<', before);
    return (await select.orderBy('seq', 'desc').limit(limit).execute()).map(entryOf);
  }

  async everywhere(): Promise<EntryElsewhere[]> {
    throw new MizanError('invalid_request', 'everywhere needs PostgreSQL: with SQLite there is one audit log.', {
      param: 'everywhere',
    });
  }

  async *walk(scope: TenantScope): AsyncGenerator<AuditEntry> {
    for (let after = Number.MIN_SAFE_INTEGER; ;) {
      const rows = await this.#of(scope).where('seq', '>', after).orderBy('seq').limit(pageSize).execute();
      yield* rows.map(entryOf);
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) return;
      after = last.seq;
    }
  }

  #of(scope: TenantScope) {
    const select = this.#database.selectFrom('audit').selectAll();
    return scope === everyTenant ? select : select.where('tenant', '=', scope);
  }
}

export function entryOf(row: Omit<Selectable<AuditTable>, 'mac'>): AuditEntry {
  return {
    seq: row.seq,
    time: row.time,
    action: row.action,
    outcome: row.outcome as AuditEntry['outcome'],
    actor: parsed(row.actor) as AuditEntry['actor'],
    tenant: row.tenant,
    target: row.target,
    before: parsed(row.before),
    after: parsed(row.after),
    from: row.from_address,
    requestId: row.request_id,
    count: row.count,
  };
}

/** Somebody may have been at it: then it is shown as it stands there. `mizan audit verify` says more. */
function parsed(json: string | null): unknown {
  if (json === null) return null;
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}
