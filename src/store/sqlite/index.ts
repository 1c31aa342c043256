import { join } from 'node:path';
import type { ApiKeys } from '../../core/api-key.ts';
import { SetupError } from '../../core/errors.ts';
import { makeFolder } from '../../core/folder.ts';
import type { RequestHistory, RequestLog } from '../../core/request-record.ts';
import { holdData } from '../folder-lock.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { kyselyOver } from './connection.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import { SqliteRequestHistory } from './request-history.ts';
import type { RequestLogEvents } from './request-log.ts';
import { SqliteRequestLog } from './request-log.ts';
import { StoreWorker } from './store-worker.ts';

export interface Store {
  readonly requestLog: RequestLog;
  readonly requestHistory: RequestHistory;
  readonly apiKeys: ApiKeys;
  /** Commits what waits and closes the database. What can't be committed even now is reported and given up. */
  close(): Promise<void>;
}

/** How often the write-ahead log is looked after, in ms; and from how many committed rows on it is worth it. */
const checkpoint = { everyMs: 1000, rows: 200 };

export const databaseFile = 'mizan.db';

/**
 * Opens the SQLite database in `folder`, making both where they don't exist yet.
 * @param options.events Given by a process that serves: its log commits in groups, and its reads and checkpoints run
 * on a thread of their own. Without it, everything is direct: for commands that run and end.
 * @throws SetupError where the folder can't be written, or the database isn't one or is too new.
 */
export async function openStore(folder: string, options: { readonly events?: RequestLogEvents } = {}): Promise<Store> {
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

async function openHeld(folder: string, options: { readonly events?: RequestLogEvents }): Promise<Store> {
  const { events } = options;
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
    return {
      requestLog,
      requestHistory: new SqliteRequestHistory(kyselyOver(database)),
      apiKeys,
      close: async () => {
        requestLog.close();
        database.close();
      },
    };
  }
  database.exec('PRAGMA busy_timeout = 50; PRAGMA wal_autocheckpoint = 20000;');
  const requestLog = new SqliteRequestLog(database, events);
  const worker = new StoreWorker(file);
  const timer = checkpointer(requestLog, worker, events);
  return {
    requestLog,
    requestHistory: new SqliteRequestHistory(worker.kysely()),
    apiKeys,
    close: async () => {
      clearInterval(timer);
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
