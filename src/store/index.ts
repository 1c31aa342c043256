import type { MizanError } from '../core/errors.ts';
import type { MasterKeys } from '../security/master-keys.ts';
import type { AuditLogEvents } from './sqlite/audit-log.ts';
import type { PayloadEvents } from './payloads/queue.ts';
import type { MigrationReport } from './migration-run.ts';
import type { Store } from './sqlite/index.ts';
import { migrateAt as migrateSqlite, openStore as openSqlite } from './sqlite/index.ts';
import type { PostgresEvents } from './postgres/index.ts';

export type { Store } from './sqlite/index.ts';
export type { PayloadEvents } from './payloads/queue.ts';
export type { PostgresEvents as StoreEvents } from './postgres/index.ts';

export interface StoreSettings {
  /** The data folder. */
  readonly folder: string;
  /** A `postgres://` URL; `null` for SQLite in the data folder. */
  readonly url: string | null;
  /** Given by a process that serves. Without it, everything is direct: for commands that run and end. */
  readonly events?: PostgresEvents;
  readonly auditEvents?: AuditLogEvents;
  readonly payloadEvents?: PayloadEvents;
  /** `master.key` in the folder by default. With PostgreSQL, all data folders need the same. */
  readonly masterKeys?: MasterKeys;
  /** Told in words of a file that turns out to be damaged, with what to do. */
  readonly unsound?: (words: string) => void;
  /** Told of a row that was damaged or edited, when it is met. */
  readonly damaged?: (error: MizanError) => void;
  /** Whether the process answers requests. */
  readonly isGateway?: boolean;
}

/**
 * Opens the store of a configuration, and brings its tables up to date.
 * @throws SetupError where it can't be used.
 */
export async function openStore({ folder, url, ...serving }: StoreSettings): Promise<Store> {
  if (url === null) return openSqlite(folder, serving);
  const { openStore: openPostgres } = await import('./postgres/index.ts');
  return openPostgres(folder, { url, ...serving });
}

/**
 * Brings the tables up to date and does nothing else: what opening does anyway.
 * @throws SetupError where it can't be done, or where a newer version has been here.
 */
export async function migrateStore({ folder, url }: StoreSettings): Promise<MigrationReport> {
  if (url === null) return migrateSqlite(folder);
  const { migrateAt } = await import('./postgres/index.ts');
  return migrateAt(url);
}
