import { join } from 'node:path';
import type { ApiKeys } from '../../core/api-key.ts';
import type { AuditHistory, AuditLog } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import { systemClock } from '../../core/clock.ts';
import type { MizanError } from '../../core/errors.ts';
import { SetupError } from '../../core/errors.ts';
import { makeFolder } from '../../core/folder.ts';
import type { RequestHistory, RequestLog } from '../../core/request-record.ts';
import type { Revocations } from '../../core/revocation.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import { holdData } from '../folder-lock.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { kyselyOver } from './connection.ts';
import { openDatabase } from './database.ts';
import { databaseFile } from './file.ts';
import { SqliteAuditHistory } from './audit-history.ts';
import type { AuditLogEvents } from './audit-log.ts';
import { directAuditLog, QueuedAuditLog } from './audit-log.ts';
import { AuditWriter } from './audit-writer.ts';
import { IdentityEpoch } from './identity-epoch.ts';
import { migrate } from './migrate.ts';
import { SqliteRequestHistory } from './request-history.ts';
import type { RequestLogEvents } from './request-log.ts';
import { SqliteRequestLog } from './request-log.ts';
import { SqliteRevocations } from './revocations.ts';
import { StoreWorker } from './store-worker.ts';
import { checkMasterKey, Vault } from './vault.ts';

export interface Store {
  readonly requestLog: RequestLog;
  readonly requestHistory: RequestHistory;
  readonly apiKeys: ApiKeys;
  readonly revocations: Revocations;
  readonly vault: Vault;
  readonly audit: AuditLog;
  readonly auditHistory: AuditHistory;
  /** Commits what waits and closes the database. What can't be committed even now is reported and given up. */
  close(): Promise<void>;
}

const silent: AuditLogEvents = { failed() {}, recovered() {}, dropped() {} };

/** How often the write-ahead log is looked after, in ms; and from how many committed rows on it is worth it. */
const checkpoint = { everyMs: 1000, rows: 200 };

/** How often the uses of API keys are written, in ms. */
const usesEveryMs = 60_000;

/** How many of them in one turn of the event loop. */
const usesAtOnce = 500;

export interface StoreOptions {
  /**
   * Given by a process that serves: its log commits in groups, and its reads and checkpoints run on a thread of their
   * own. Without it, everything is direct: for commands that run and end.
   */
  readonly events?: RequestLogEvents;
  readonly auditEvents?: AuditLogEvents;
  /** The system's where it is left out. */
  readonly clock?: Clock;
  /** `master.key` in the folder by default, and then not looked at before it is needed. */
  readonly masterKeys?: MasterKeys;
  /** Told of a row that was damaged or edited, when it is met. */
  readonly damaged?: (error: MizanError) => void;
}

/**
 * Opens the SQLite database in `folder`, making both where they don't exist yet.
 * @throws SetupError where the folder can't be written, or the database isn't one or is too new; and, before anything
 * is changed, where the master key is not the one that the data is sealed under.
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
  const { events, damaged, auditEvents = silent, clock = systemClock } = options;
  const masterKeys = options.masterKeys ?? new MasterKeys(noMasterKeySettings, folder);
  const isSealing = events !== undefined || options.masterKeys !== undefined;
  const file = join(folder, databaseFile);
  const database = open(folder, file);
  let epoch: IdentityEpoch;
  let vault: Vault;
  try {
    if (isSealing) checkMasterKey(database, masterKeys);
    await migrate(database);
    epoch = new IdentityEpoch(database, clock);
    vault = new Vault(database, { masters: masterKeys, epoch, clock });
    if (isSealing) vault.prepare();
  } catch (error) {
    database.close();
    throw error;
  }
  const apiKeys = new SqliteApiKeys(database, { epoch, seal: vault.apiKeySeal, damaged });
  const revocations = new SqliteRevocations(database, epoch);
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
      revocations,
      vault,
      close: async () => {
        requestLog.close();
        writeUses(apiKeys, events);
        writer.close();
        database.close();
      },
    };
  }
  database.exec('PRAGMA busy_timeout = 50; PRAGMA wal_autocheckpoint = 20000;');
  const requestLog = new SqliteRequestLog(database, events);
  const worker = new StoreWorker(file);
  const timer = checkpointer(requestLog, worker, events);
  const writeSome = (): void => {
    if (writeUses(apiKeys, events, usesAtOnce)) setImmediate(writeSome);
  };
  const useTimer = setInterval(writeSome, usesEveryMs).unref();
  const audit = new QueuedAuditLog((rows) => worker.appendAudit(rows), auditEvents);
  const kysely = worker.kysely();
  return {
    requestLog,
    requestHistory: new SqliteRequestHistory(kysely),
    apiKeys,
    revocations,
    vault,
    audit,
    auditHistory: new SqliteAuditHistory(kysely),
    close: async () => {
      clearInterval(timer);
      clearInterval(useTimer);
      await audit.close();
      database.exec('PRAGMA busy_timeout = 1000');
      requestLog.close();
      writeUses(apiKeys, events);
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

/** When a key was used is not worth failing for. */
function writeUses(apiKeys: SqliteApiKeys, events: RequestLogEvents | undefined, limit?: number): boolean {
  try {
    return apiKeys.writeUses(limit);
  } catch (error) {
    events?.failed(error);
    return false;
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
