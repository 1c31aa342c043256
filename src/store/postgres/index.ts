import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PostgresAdapter, PostgresQueryCompiler } from 'kysely';
import { MizanError, SetupError } from '../../core/errors.ts';
import type { Overview } from '../../core/overview.ts';
import type { RequestPage } from '../../core/request-record.ts';
import type { Removed } from '../../core/retention.ts';
import { overviewJson, readOverview, tenantIn } from '../overview.ts';
import { checkLedger, oldPeriod, readUses } from '../ledger.ts';
import { makeDue, rebuildSums } from '../rollups.ts';
import { removeOld } from './retention.ts';
import { KyselyRequestHistory } from '../history.ts';
import { KyselyJobStore } from '../jobs/index.ts';
import { JobSeals } from '../jobs/seals.ts';
import { SealedJobs } from '../jobs/upkeep.ts';
import { KyselyModelHealth } from '../model-health.ts';
import { KyselyNotices } from '../notices.ts';
import type { MigrationReport } from '../migration-run.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import { DamagedDatabase } from '../sqlite/damage.ts';
import { openDatabase } from '../sqlite/database.ts';
import { outboxFile } from '../sqlite/file.ts';
import type { Store } from '../sqlite/index.ts';
import { openStore as openLocal } from '../sqlite/index.ts';
import type { AuditLogEvents } from '../sqlite/audit-log.ts';
import { KyselyPayloadHistory } from '../payloads/history.ts';
import type { PayloadEvents } from '../payloads/queue.ts';
import type { RequestLogEvents } from '../sqlite/request-log.ts';
import { stopFlag } from '../stop-flag.ts';
import { remoteKysely, Thread } from '../thread.ts';
import { AuditCopies } from './audit-copies.ts';
import { PostgresAuditHistory } from './audit-everywhere.ts';
import { kyselyOver, openPool, placeOf } from './connection.ts';
import { Courier } from './courier.ts';
import { countGateways, gatewayName } from './gateways.ts';
import { migrate } from './migrate.ts';
import { PaidByAll } from './paid-by-all.ts';
import { putAside } from './put-aside.ts';
import { furnishOutbox, noteChanges } from './replica.ts';
import { sleepFlag, waking } from './sleep-flag.ts';
import type { PaidRow, PostgresNews, PostgresQuestion, PostgresState } from './worker-protocol.ts';

/** What the store tells, besides what its log does. */
export interface PostgresEvents extends RequestLogEvents {
  /** PostgreSQL can't be reached; told once until it can be again. */
  away(reason: string): void;
  back(): void;
}

export interface PostgresStoreOptions {
  readonly url: string;
  /** Given by a process that serves: then a thread of its own speaks with PostgreSQL. */
  readonly events?: PostgresEvents;
  readonly auditEvents?: AuditLogEvents;
  readonly payloadEvents?: PayloadEvents;
  readonly masterKeys?: MasterKeys;
  readonly damaged?: (error: MizanError) => void;
  readonly unsound?: (words: string) => void;
  readonly isGateway?: boolean;
}

/** How long the last rows may take to reach PostgreSQL when a store is closed, in ms; then they wait on disk. */
const lastDeliveryMs = 3000;

/**
 * Opens a store whose truth is in PostgreSQL, and which goes on without it: rows are committed to a local database
 * first and sent from there; keys and the like are read from a local copy that follows within a second.
 * @throws SetupError where PostgreSQL can't be reached and never was, or is of a newer version; where what is sealed
 * there is sealed under another master key; and what opening the local database throws.
 */
export async function openStore(folder: string, options: PostgresStoreOptions): Promise<Store> {
  const { url, auditEvents: _, isGateway: __, ...given } = options;
  const { events } = options;
  const file = join(folder, outboxFile);
  const contact = { isMade: false };
  const changes = new Changes();
  const open = (): Promise<Store> =>
    openLocal(folder, {
      ...given,
      file: outboxFile,
      isOutbox: true,
      async furnish(database) {
        furnishOutbox(database);
        // What this folder paid itself; PostgreSQL has what all did.
        database.prepare('DELETE FROM budget_use WHERE start > 0 AND start < ?').run(oldPeriod(Date.now(), 0));
        noteChanges(database, () => changes.noted());
        // Before anything is sealed here: others may have made the keys for it already.
        contact.isMade = await exchange(file, url, events);
      },
    });
  const outbox = await open().catch((error: unknown) => {
    const aside = events === undefined || !(error instanceof DamagedDatabase) ? null : putAside(folder);
    if (aside === null) throw error;
    const words = `The database ${file} was damaged. It was put aside as ${aside}, and what was in it is fetched anew`;
    options.unsound?.(`${words} from PostgreSQL; requests that had not been sent yet are in that file alone.`);
    return open();
  });
  try {
    // So that two that start at once with different master keys don't both think that theirs is the one.
    if (contact.isMade && hasChanges(file)) await exchange(file, url, events);
    const local = withAudit(outbox, await auditLog(folder, options));
    return events === undefined
      ? direct(local, file, url)
      : await serving(local, file, {
          url,
          events,
          isThere: contact.isMade,
          isGateway: options.isGateway === true,
          changes,
        });
  } catch (error) {
    await outbox.close();
    throw error;
  }
}

/** The audit log is a chain of each data folder's own, in the database where it is without PostgreSQL, too. */
async function auditLog(folder: string, { events, auditEvents, unsound }: PostgresStoreOptions): Promise<Store> {
  const silent = { failed() {}, recovered() {}, dropped() {} };
  return openLocal(folder, {
    isOutbox: true,
    isSealing: false,
    ...(events === undefined ? {} : { events: silent }),
    ...(auditEvents === undefined ? {} : { auditEvents }),
    ...(unsound === undefined ? {} : { unsound }),
  });
}

function withAudit(store: Store, keeper: Store): Store {
  return {
    ...store,
    state() {
      const state = store.state();
      return { ...state, trouble: state.trouble ?? keeper.state().trouble };
    },
    audit: keeper.audit,
    auditHistory: keeper.auditHistory,
    async close(deadline) {
      const ends = await Promise.allSettled([keeper.close(deadline), store.close(deadline)]);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    },
  };
}

/** For a command: everything was fetched before, and is sent when it ends. */
function direct(local: Store, file: string, url: string): Store {
  const pool = openPool(url, { max: 2, statementTimeoutMs: 0 });
  const database = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
  const courier = new Courier(database, pool);
  const copies = new AuditCopies(dirname(file), pool);
  const overview: Store['overview'] = async (scope, query) => {
    while (await makeDue(kyselyOver(pool))) continue;
    return readOverview(kyselyOver(pool), tenantIn(scope), query);
  };
  const release = async (): Promise<void> => {
    copies.close();
    await pool.end();
    database.close();
    await local.close();
  };
  return {
    ...local,
    requestHistory: new KyselyRequestHistory(kyselyOver(pool)),
    auditHistory: new PostgresAuditHistory(local.auditHistory, kyselyOver(pool)),
    ledger: {
      ...local.ledger,
      uses: (starts) => readUses(kyselyOver(pool), starts),
      check: () => checkLedger(kyselyOver(pool)),
    },
    jobs: new KyselyJobStore(kyselyOver(pool), local.vault.ring),
    sealedJobs: new SealedJobs(kyselyOver(pool), new JobSeals(local.vault.ring)),
    modelHealth: new KyselyModelHealth(kyselyOver(pool)),
    notices: new KyselyNotices(kyselyOver(pool)),
    payloadHistory: new KyselyPayloadHistory(kyselyOver(pool), local.payloads),
    gateways: () => countGateways(kyselyOver(pool)),
    overview,
    overviewJson: async (scope, query) => overviewJson(await overview(scope, query)),
    removeOld: (retention, signal) => removeOld(pool, retention, Date.now(), () => signal?.aborted === true),
    rebuildSums: () => rebuildSums(kyselyOver(pool)),
    state: () => ({ ...local.state(), engine: 'postgres' }),
    settled: () => courier.deliver(),
    async close() {
      try {
        await courier.exchange();
        await copies.ship();
      } catch (error) {
        if (error instanceof SetupError) throw error;
        throw new SetupError(`What was changed is kept in ${file}, and sent when the database can be reached`, error);
      } finally {
        await release();
      }
    },
  };
}

/** What is changed here in the replicated tables, told once for all that are changed in one go. */
class Changes {
  #isTelling = false;
  /** Called once they are committed. */
  told: () => void = () => undefined;

  noted(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    // By then the transaction has ended: it waits for nothing.
    setImmediate(() => {
      this.#isTelling = false;
      this.told();
    });
  }
}

async function serving(
  local: Store,
  file: string,
  {
    url,
    events,
    isThere,
    isGateway,
    changes,
  }: {
    readonly url: string;
    readonly events: PostgresEvents;
    readonly isThere: boolean;
    readonly isGateway: boolean;
    readonly changes: Changes;
  },
): Promise<Store> {
  const name = isGateway ? gatewayName() : undefined;
  const sleep = sleepFlag();
  const paid = new PaidByAll();
  let state: PostgresState = { isAway: false, reason: null, waiting: 0, refused: 0 };
  const thread = new Thread<PostgresQuestion>(
    () =>
      new Worker(new URL('./postgres.worker.ts', import.meta.url), {
        name: 'postgres',
        workerData: { file, url, name, sleep },
        resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 256 },
      }),
    (told) => {
      const news = told as PostgresNews;
      if (news.kind === 'paid') {
        paid.heard(news.rows);
        return;
      }
      const next = news.state;
      if (next.isAway && !state.isAway) events.away(next.reason ?? '');
      if (!next.isAway && state.isAway) events.back();
      state = next;
    },
  );
  thread.wake();
  changes.told = () => void thread.ask({ kind: 'changed' }).catch(() => undefined);
  // So that no budget is overdrawn by the first requests.
  if (isThere) {
    await thread.ask({ kind: 'paid' }).then(
      (rows) => paid.heard(rows as PaidRow[]),
      // The store says itself that its database is away.
      () => undefined,
    );
  }
  const history = remoteKysely({
    adapter: new PostgresAdapter(),
    compiler: () => new PostgresQueryCompiler(),
    read: async (sql, parameters) => (await thread.ask({ kind: 'read', sql, parameters })) as readonly unknown[],
  });
  const settled = async (): Promise<void> => {
    await local.settled();
    await thread.ask({ kind: 'settle' });
  };
  return {
    ...local,
    requestLog: waking(local.requestLog, sleep, () => void thread.ask({ kind: 'wake' }).catch(() => undefined)),
    requestHistory: new KyselyRequestHistory(history, {
      page: async (scope, query) => (await thread.ask({ kind: 'page', tenant: tenantIn(scope), query })) as RequestPage,
    }),
    auditHistory: new PostgresAuditHistory(local.auditHistory, history),
    ledger: {
      ...local.ledger,
      paidByAll: (budget, start) => paid.of(budget, start),
      uses: (starts) => readUses(history, starts),
      check: () => checkLedger(history),
    },
    jobs: new KyselyJobStore(history, local.vault.ring),
    sealedJobs: new SealedJobs(history, new JobSeals(local.vault.ring)),
    modelHealth: new KyselyModelHealth(history),
    notices: new KyselyNotices(history),
    payloadHistory: new KyselyPayloadHistory(history, local.payloads),
    gateways: () => countGateways(history),
    overview: async (scope, query) =>
      (await thread.ask({ kind: 'overview', tenant: tenantIn(scope), query })) as Overview,
    overviewJson: async (scope, query) =>
      (await thread.ask({ kind: 'overview in JSON', tenant: tenantIn(scope), query })) as string,
    removeOld: async (retention, signal) =>
      (await thread.ask({ kind: 'remove old', retention, stop: stopFlag(signal) })) as Removed,
    state() {
      const here = local.state();
      const trouble = state.isAway ? `PostgreSQL can't be used: ${state.reason ?? ''}` : here.trouble;
      return { ...here, engine: 'postgres', trouble, pending: here.pending + state.waiting };
    },
    settled,
    async close(deadline) {
      const late = new Promise<void>((resolve) => setTimeout(resolve, lastDeliveryMs).unref());
      await Promise.race([settled().catch(() => undefined), late]);
      // What is still changed is sent by the next start.
      changes.told = () => undefined;
      await thread.close();
      await local.close(deadline);
    },
  };
}

/** Brings the tables at `url` up to date, and does nothing else. @throws SetupError */
export async function migrateAt(url: string): Promise<MigrationReport> {
  const pool = openPool(url, { max: 1, statementTimeoutMs: 0 });
  try {
    return await migrate(pool);
  } catch (error) {
    throw error instanceof SetupError ? error : new SetupError(`The database at ${placeOf(url)} can't be used`, error);
  } finally {
    await pool.end();
  }
}

/**
 * Sends what was changed here, and fetches what others changed. Without PostgreSQL a process may start that has had a
 * copy of the keys; one that never had would refuse everybody. A command needs PostgreSQL.
 * @returns Whether PostgreSQL was there.
 */
async function exchange(file: string, url: string, events: PostgresEvents | undefined): Promise<boolean> {
  const pool = openPool(url, { max: 1, statementTimeoutMs: 60_000 });
  const database = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
  try {
    await new Courier(database, pool).exchange();
    return true;
  } catch (error) {
    if (error instanceof SetupError) throw error;
    const isKnown = database.prepare('SELECT 1 FROM replica LIMIT 1').get() !== undefined;
    if (events === undefined || !isKnown)
      throw new SetupError(`The database at ${placeOf(url)} can't be reached`, error);
    events.failed(new MizanError('database_unavailable', 'PostgreSQL is away at the start.', { cause: error }));
    return false;
  } finally {
    await pool.end();
    database.close();
  }
}

function hasChanges(file: string): boolean {
  const database = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
  try {
    return database.prepare('SELECT 1 FROM changes LIMIT 1').get() !== undefined;
  } finally {
    database.close();
  }
}
