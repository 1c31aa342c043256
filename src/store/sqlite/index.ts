import { join } from 'node:path';
import type { ApiKeys } from '../../core/api-key.ts';
import type { AuditHistory, AuditLog } from '../../core/audit.ts';
import { SetupError } from '../../core/errors.ts';
import { makeFolder } from '../../core/folder.ts';
import type { RequestHistory, RequestLog } from '../../core/request-record.ts';
import { holdData } from '../folder-lock.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { kyselyOver } from './connection.ts';
import { openDatabase } from './database.ts';
import { SqliteAuditHistory } from './audit-history.ts';
import type { AuditLogEvents } from './audit-log.ts';
import { directAuditLog, QueuedAuditLog } from './audit-log.ts';
import { AuditWriter } from './audit-writer.ts';
import { migrate } from './migrate.ts';
import { SqliteRequestHistory } from './request-history.ts';
import type { RequestLogEvents } from './request-log.ts';
import { SqliteRequestLog } from './request-log.ts';
import { StoreWorker } from './store-worker.ts';

export interface Store {
  readonly requestLog: RequestLog;
  readonly requestHistory: RequestHistory;
  readonly apiKeys: ApiKeys;
  readonly audit: AuditLog;
  readonly auditHistory: AuditHistory;
  /** Commits what waits and closes the database. What can't be committed even now is reported and given up. */
  close(): Promise<void>;
}

export interface StoreOptions {
  /**
   * Given by a process that serves: its log commits in groups, and its reads and checkpoints run on a thread of their
   * own. Without it, everything is direct: for commands that run and end.
   */
  readonly events?: RequestLogEvents;
  readonly auditEvents?: AuditLogEvents;
}

const silent: AuditLogEvents = { failed() {}, recovered() {}, dropped() {} };

/** How often the write-ahead log is looked after, in ms; and from how many committed rows on it is worth it. */
const checkpoint = { everyMs: 1000, rows: 200 };

export const databaseFile = 'mizan.db';

/**
 * Opens the SQLite database in `folder`, making both where they don't exist yet.
 * @throws SetupError where the folder can't be written, or the database isn't one or is too new.
 */
export async function openStore(folder: string, options: StoreOptions = {}): Promise<Store> {
  const hold = holdData(folder);
  try {
    const store = await openHeld(folder, options);
    const close = (): Promise<void> => store.close().finally(() => hold.release());
    return { ...store, close };
  } catch (error) {
    hold.release();
    throw error;
  }
}

async function openHeld(folder: string, options: StoreOptions): Promise<Store> {
  const { events, auditEvents = silent } = options;
  const file = join(folder, databaseFile);
  const database = open(folder, file);
  try {
    await migrate(database);
  } catch (error) {
    database.close();
    throw error;
  }
  const apiKeys = new SqliteApiKeys(database);
  if (events === undefined) {
    const requestLog = new SqliteRequestLog(database, { failed() {}, recovered() {}, dropped() {} });
    const writer = new AuditWriter(folder, databaseFile);
    const kysely = kyselyOver(database);
    return {
      audit: directAuditLog(
        (rows) => writer.append(rows),
        (error) => auditEvents.failed(error),
      ),
      auditHistory: new SqliteAuditHistory(kysely),
      requestLog,
      requestHistory: new SqliteRequestHistory(kysely),
      apiKeys,
      close: async () => {
        requestLog.close();
        writer.close();
        database.close();
      },
    };
  }
  database.exec('PRAGMA busy_timeout = 50; PRAGMA wal_autocheckpoint = 20000;');
  const requestLog = new SqliteRequestLog(database, events);
  const worker = new StoreWorker(file);
  const timer = checkpointer(requestLog, worker, events);
  const audit = new QueuedAuditLog((rows) => worker.appendAudit(rows), auditEvents);
  const kysely = worker.kysely();
  return {
    requestLog,
    requestHistory: new SqliteRequestHistory(kysely),
    apiKeys,
    audit,
    auditHistory: new SqliteAuditHistory(kysely),
    close: async () => {
      clearInterval(timer);
      await audit.close();
      database.exec('PRAGMA busy_timeout = 1000');
      requestLog.close();
      await worker.close();
      database.close();
    },
  };
}

function open(folder: string, file: string): ReturnType<typeof openDatabase> {
  try {
    makeFolder(folder);
    return openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
  } catch (cause) {
    throw new SetupError(`The data folder ${folder} can't be used`, cause);
  }
}

function checkpointer(log: SqliteRequestLog, worker: StoreWorker, events: RequestLogEvents): NodeJS.Timeout {
  let done = 0;
  return setInterval(() => {
    if (log.committed - done < checkpoint.rows) return;
    done = log.committed;
    worker.checkpoint().catch((error: unknown) => events.failed(error));
  }, checkpoint.everyMs).unref();
}
