import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { ApiKeys } from '../../core/api-key.ts';
import type { Ledger, LimitRules } from '../../core/limit.ts';
import type { FetchedPrices } from '../../core/prices.ts';
import type { UnfinishedPurges } from '../../core/response-cache.ts';
import type { AuditHistory, AuditLog } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import { systemClock } from '../../core/clock.ts';
import { MizanError, SetupError } from '../../core/errors.ts';
import { makeFolder } from '../../core/folder.ts';
import type { PayloadHistory } from '../../core/payload.ts';
import type { RequestHistory, RequestLog, TenantScope } from '../../core/request-record.ts';
import type { Overview, OverviewQuery } from '../../core/overview.ts';
import type { OnRemoving, Removed, Retention } from '../../core/retention.ts';
import type { MigrationReport } from '../migration-run.ts';
import type { JobStore } from '../../core/jobs.ts';
import type { ModelHealthStore } from '../../core/model-health.ts';
import type { Notices } from '../../core/notices.ts';
import type { Revocations } from '../../core/revocation.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import { countGateways, holdData, holdGateway } from '../folder-lock.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { kyselyOver } from './connection.ts';
import { explained, refuseLost } from './damage.ts';
import { openDatabase } from './database.ts';
import { Examination } from './examination.ts';
import { databaseFile } from './file.ts';
import { SqliteAuditHistory } from './audit-history.ts';
import type { AuditLogEvents } from './audit-log.ts';
import { directAuditLog, QueuedAuditLog } from './audit-log.ts';
import { AuditWriter } from './audit-writer.ts';
import { IdentityEpoch } from './identity-epoch.ts';
import { migrate } from './migrate.ts';
import { KyselyRequestHistory } from '../history.ts';
import { KyselyJobStore } from '../jobs/index.ts';
import { JobSeals } from '../jobs/seals.ts';
import { SealedJobs } from '../jobs/upkeep.ts';
import { KyselyModelHealth } from '../model-health.ts';
import { KyselyNotices } from '../notices.ts';
import type { RequestLogEvents } from './request-log.ts';
import { SqliteRequestLog } from './request-log.ts';
import { overviewJson, readOverview, tenantIn } from '../overview.ts';
import { DirectPayloads } from '../payloads/direct.ts';
import { KyselyPayloadHistory } from '../payloads/history.ts';
import type { PayloadEvents } from '../payloads/queue.ts';
import { PayloadQueue } from '../payloads/queue.ts';
import type { PayloadRoom } from '../payloads/room.ts';
import { makeDue, noteDue, noteSinceLast, rebuildSums } from '../rollups.ts';
import { sqliteLedger } from './ledger.ts';
import { SqliteLimitRules } from './limit-rules.ts';
import { SqlitePrices } from './prices.ts';
import { asFastAsItGoes } from './removal-pace.ts';
import { removeOld } from './retention.ts';
import { Troubles } from './troubles.ts';
import { Upkeep } from './upkeep.ts';
import { SqliteRevocations } from './revocations.ts';
import { StoreWorker } from './store-worker.ts';
import { SqliteUnfinishedPurges } from './unfinished-purges.ts';
import { checkMasterKey, Vault } from './vault.ts';

/** How a store is doing. Whatever it is, requests go on being answered. */
export interface StoreState {
  readonly engine: 'sqlite' | 'postgres';
  /** What is wrong, for the operator; `null` where all is well. */
  readonly trouble: string | null;
  /** Rows of the request log that are on their way: in memory, or in the local database. */
  readonly pending: number;
  /** Payloads that are not kept yet, and how many were given up since the start. */
  readonly payloads: { readonly pending: number; readonly dropped: number };
}

export interface Store {
  readonly requestLog: RequestLog;
  readonly requestHistory: RequestHistory;
  readonly payloads: PayloadRoom;
  readonly payloadHistory: PayloadHistory;
  readonly apiKeys: ApiKeys;
  readonly revocations: Revocations;
  readonly vault: Vault;
  readonly limitRules: LimitRules;
  readonly prices: FetchedPrices;
  readonly unfinishedPurges: UnfinishedPurges;
  readonly ledger: Ledger;
  readonly audit: AuditLog;
  readonly auditHistory: AuditHistory;
  readonly jobs: JobStore;
  readonly sealedJobs: SealedJobs;
  readonly modelHealth: ModelHealthStore;
  readonly notices: Notices;
  /** How many processes answer requests on this database, as far as it is known. */
  gateways(): Promise<number>;
  overview(scope: TenantScope, query: OverviewQuery): Promise<Overview>;
  /** The same as it is shown outside, in JSON. In a process that serves it may be some seconds old. */
  overviewJson(scope: TenantScope, query: OverviewQuery): Promise<string>;
  /**
   * Removes what is older than it is to be kept; beside answers, not in their way.
   * @param signal Ends it with the step that is under way: what is left goes another time.
   * @param onProgress With SQLite; on PostgreSQL what is old is dropped at once.
   */
  removeOld(retention: Retention, signal?: AbortSignal, onProgress?: OnRemoving): Promise<Removed>;
  /** Makes all sums anew from the log. For a command: a process that serves keeps them by itself. */
  rebuildSums(): Promise<void>;
  /** How the database is doing, as far as it is known; asked for at any time. */
  state(): StoreState;
  /** Resolves once everything that was written before can be read. @throws MizanError `database_unavailable`. */
  settled(): Promise<void>;
  /**
   * Commits what waits and closes the database.
   * @param deadline Until when what can't be written is tried again, on the monotonic clock, in ms; once where it is left
   * out. What can't be written even then is given up, each row told of.
   * @throws MizanError `database_unavailable` (rejects with it) where that was any, once everything is closed.
   */
  close(deadline?: number): Promise<void>;
}

export interface OpenStoreOptions {
  /**
   * Given by a process that serves: its log commits in groups, and its reads and checkpoints run on a thread of their
   * own. Without it, everything is direct: for commands that run and end.
   */
  readonly events?: RequestLogEvents;
  readonly auditEvents?: AuditLogEvents;
  readonly payloadEvents?: PayloadEvents;
  /** Whether rows only stay until they are sent somewhere else: then nothing is looked after here. */
  readonly isOutbox?: boolean;
  /** Whether the process answers requests. */
  readonly isGateway?: boolean;
  /** Whether anything is sealed here: by default in a process that serves, and where `masterKeys` is given. */
  readonly isSealing?: boolean;
  /** The name of the database's file. */
  readonly file?: string;
  /** Is given the connection once the tables are there, and before anything is sealed. */
  readonly furnish?: (database: DatabaseSync) => void | Promise<void>;
  /** The system's where it is left out. */
  readonly clock?: Clock;
  /** `master.key` in the folder by default, and then not looked at before it is needed. */
  readonly masterKeys?: MasterKeys;
  /** Told in words of a file that turns out to be damaged, with what to do. */
  readonly unsound?: (words: string) => void;
  /** Told of a row that was damaged or edited, when it is met. */
  readonly damaged?: (error: MizanError) => void;
}

const silent: AuditLogEvents & PayloadEvents = { failed() {}, recovered() {}, dropped() {} };

/** How long the last payloads may take to be kept when a store is closed, in ms. */
const lastPayloadsMs = 2000;

/** How often the uses of API keys are written, in ms. */
const usesEveryMs = 60_000;

/** How many of them in one turn of the event loop. */
const usesAtOnce = 500;

/**
 * Opens the SQLite database in `folder`, making both where they don't exist yet.
 * @throws SetupError where the folder can't be written, or the database isn't one or is too new; and, before anything
 * is changed, where the master key is not the one that the data is sealed under.
 */
export async function openStore(folder: string, options: OpenStoreOptions = {}): Promise<Store> {
  const holds = [holdData(folder)];
  const release = (): void => holds.forEach((hold) => hold.release());
  try {
    const store = await openHeld(folder, options);
    const place = options.isGateway === true ? holdGateway(folder) : null;
    if (place !== null) holds.push(place);
    const close = (deadline?: number): Promise<void> => store.close(deadline).finally(release);
    return { ...store, close };
  } catch (error) {
    release();
    throw error;
  }
}

async function openHeld(folder: string, options: OpenStoreOptions): Promise<Store> {
  const { events, damaged, auditEvents = silent, clock = systemClock } = options;
  const masterKeys = options.masterKeys ?? new MasterKeys(noMasterKeySettings, folder);
  const isSealing = options.isSealing ?? (events !== undefined || options.masterKeys !== undefined);
  const file = join(folder, options.file ?? databaseFile);
  const database = open(folder, file);
  let epoch: IdentityEpoch;
  let vault: Vault;
  try {
    // Beside another database, what others sealed has to come first.
    if (isSealing && options.furnish === undefined) checkMasterKey(database, masterKeys);
    refuseLost(database, file);
    const { done } = await migrate(database);
    await options.furnish?.(database);
    if (isSealing && options.furnish !== undefined) checkMasterKey(database, masterKeys);
    epoch = new IdentityEpoch(database, clock);
    vault = new Vault(database, { masters: masterKeys, epoch, clock, hasJobs: options.isOutbox !== true });
    if (isSealing) vault.prepare();
    // What is new is on the disk before anything counts on it: a log that is young is nowhere else.
    if (done.length > 0) database.exec('PRAGMA wal_checkpoint(FULL)');
  } catch (error) {
    database.close();
    throw explained(error, file);
  }
  const apiKeys = new SqliteApiKeys(database, { epoch, seal: vault.apiKeySeal, damaged });
  const revocations = new SqliteRevocations(database, epoch);
  const limitRules = new SqliteLimitRules(database, epoch);
  const prices = new SqlitePrices(database, epoch);
  const unfinishedPurges = new SqliteUnfinishedPurges(database);
  if (events === undefined) {
    const requestLog = new SqliteRequestLog(database, { failed() {}, recovered() {}, dropped() {} });
    const writer = new AuditWriter(folder, databaseFile);
    const kysely = kyselyOver(database);
    const payloads = new DirectPayloads(database, vault.ring, damaged);
    const overview: Store['overview'] = async (scope, query) => {
      await rollUpNow(database);
      return readOverview(kysely, tenantIn(scope), query);
    };
    return {
      payloads,
      payloadHistory: new KyselyPayloadHistory(kysely, payloads),
      audit: directAuditLog(
        (rows) => writer.append(rows),
        (error) => auditEvents.failed(error),
      ),
      auditHistory: new SqliteAuditHistory(kysely),
      jobs: new KyselyJobStore(kysely, vault.ring),
      sealedJobs: new SealedJobs(kysely, new JobSeals(vault.ring)),
      modelHealth: new KyselyModelHealth(kysely),
      notices: new KyselyNotices(kysely),
      requestLog,
      requestHistory: new KyselyRequestHistory(kysely),
      apiKeys,
      limitRules,
      prices,
      unfinishedPurges,
      ledger: sqliteLedger(database, kysely),
      gateways: async () => countGateways(folder),
      overview,
      overviewJson: async (scope, query) => overviewJson(await overview(scope, query)),
      removeOld: (retention, signal, onProgress) =>
        removeOld(database, retention, Date.now(), {
          isStopped: () => signal?.aborted === true,
          rules: asFastAsItGoes,
          ...(onProgress === undefined ? {} : { onProgress }),
        }),
      rebuildSums: () => rebuildSums(kyselyOver(database)),
      state: () => ({
        engine: 'sqlite',
        trouble: null,
        pending: requestLog.pending,
        payloads: { pending: 0, dropped: 0 },
      }),
      settled: async () => {
        requestLog.flush();
        // They may be older than what a process that serves would look for by itself.
        await noteDue(kysely, requestLog.takeTouched());
      },
      revocations,
      vault,
      close: async () => {
        const rows = await requestLog.close();
        writeUses(apiKeys, undefined);
        writer.close();
        database.close();
        tellOfLoss({ rows });
      },
    };
  }
  makeShrinkable(database);
  database.exec('PRAGMA busy_timeout = 50; PRAGMA wal_autocheckpoint = 20000;');
  const troubles = new Troubles();
  const requestLog = new SqliteRequestLog(database, troubles.watching(events));
  const worker = new StoreWorker(file);
  const upkeep = options.isOutbox === true ? null : new Upkeep({ log: requestLog, worker, troubles });
  const examination = new Examination(file, { troubles, unsound: (words) => options.unsound?.(words) });
  const writeSome = (): void => {
    if (writeUses(apiKeys, events, usesAtOnce)) setImmediate(writeSome);
  };
  const useTimer = setInterval(writeSome, usesEveryMs).unref();
  const audit = new QueuedAuditLog((rows) => worker.appendAudit(rows), auditEvents);
  const kysely = worker.kysely();
  const writing = worker.writingKysely();
  const { payloadEvents = silent } = options;
  const payloads = new PayloadQueue(file, vault.ring, { events: troubles.watchingPayloads(payloadEvents), damaged });
  return {
    payloads,
    payloadHistory: new KyselyPayloadHistory(kysely, payloads),
    requestLog,
    requestHistory: new KyselyRequestHistory(kysely, { page: (scope, query) => worker.page(tenantIn(scope), query) }),
    revocations,
    vault,
    audit,
    auditHistory: new SqliteAuditHistory(kysely),
    jobs: new KyselyJobStore(writing, vault.ring),
    sealedJobs: new SealedJobs(writing, new JobSeals(vault.ring)),
    modelHealth: new KyselyModelHealth(writing),
    notices: new KyselyNotices(writing),
    apiKeys,
    limitRules,
    prices,
    unfinishedPurges,
    ledger: sqliteLedger(database, kysely),
    gateways: async () => countGateways(folder),
    overview: (scope, query) => worker.overview(tenantIn(scope), query),
    overviewJson: (scope, query) => worker.overviewJson(tenantIn(scope), query),
    removeOld: (retention, signal, onProgress) => worker.removeOld(retention, signal, onProgress),
    rebuildSums: () => rebuildSums(kyselyOver(database)),
    state: () => ({
      engine: 'sqlite',
      trouble: troubles.words,
      pending: requestLog.pending,
      payloads: { pending: payloads.pending, dropped: payloads.dropped },
    }),
    settled: async () => {
      requestLog.flush();
      await payloads.settled();
    },
    close: async (deadline = 0) => {
      examination.stop();
      clearInterval(useTimer);
      database.exec('PRAGMA busy_timeout = 1000');
      const [rows, entries] = await Promise.all([
        requestLog.close(deadline),
        audit.close(deadline),
        payloads.close(Math.max(lastPayloadsMs, deadline - performance.now())),
      ]);
      // Until here, so that a disk that was full has room again for what waits.
      upkeep?.stop();
      writeUses(apiKeys, events);
      await worker.close();
      database.close();
      tellOfLoss({ rows, entries });
    },
  };
}

/** Brings the tables of the database in `folder` up to date, and does nothing else. @throws SetupError */
export async function migrateAt(folder: string): Promise<MigrationReport> {
  const hold = holdData(folder);
  try {
    const database = open(folder, join(folder, databaseFile));
    return await migrate(database).finally(() => database.close());
  } catch (error) {
    throw explained(error, join(folder, databaseFile));
  } finally {
    hold.release();
  }
}

/** Rewrites a file that was made without room for giving back. Where another process is in the way, another time. */
function makeShrinkable(database: DatabaseSync): void {
  if (database.prepare('PRAGMA auto_vacuum').get()?.['auto_vacuum'] !== 0) return;
  try {
    database.exec('PRAGMA auto_vacuum = INCREMENTAL; VACUUM');
  } catch {
    // It works as it is; it only doesn't shrink.
  }
}

function open(folder: string, file: string): ReturnType<typeof openDatabase> {
  try {
    makeFolder(folder);
    return openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
  } catch (cause) {
    const error = explained(cause, file);
    throw error instanceof SetupError ? error : new SetupError(`The data folder ${folder} can't be used`, cause);
  }
}

async function rollUpNow(database: DatabaseSync): Promise<void> {
  const db = kyselyOver(database);
  await noteSinceLast(db);
  while (await makeDue(db)) continue;
}

/** What was acknowledged and is on no disk is never lost without a word. @throws MizanError `database_unavailable` */
function tellOfLoss({ rows, entries = 0 }: { readonly rows: number; readonly entries?: number }): void {
  if (rows + entries === 0) return;
  const what = [
    [rows, rows === 1 ? 'row of the request log' : 'rows of the request log'],
    [entries, entries === 1 ? 'entry of the audit log' : 'entries of the audit log'],
  ] as const;
  const lost = what.filter(([count]) => count > 0).map(([count, of]) => `${count} ${of}`);
  throw new MizanError('database_unavailable', `${lost.join(' and ')} could not be written until the end.`);
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
