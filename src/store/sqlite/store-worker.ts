import { Worker } from 'node:worker_threads';
import type { Kysely } from 'kysely';
import { SqliteAdapter, SqliteQueryCompiler } from 'kysely';
import type { Overview, OverviewQuery } from '../../core/overview.ts';
import type { RequestPage, RequestQuery } from '../../core/request-record.ts';
import type { OnRemoving, Removed, Retention } from '../../core/retention.ts';
import type { Database } from '../schema.ts';
import { watched } from '../shared-progress.ts';
import { stopFlag } from '../stop-flag.ts';
import { remoteKysely, Thread } from '../thread.ts';
import type { AuditRow } from './audit-chain.ts';
import type { ReaderQuestion, WorkerQuestion } from './worker-protocol.ts';

const resourceLimits = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 256 };

/** Two threads with connections of their own, one for reads of any size and one for what is written beside answers. */
export class StoreWorker {
  readonly #thread: Thread<WorkerQuestion>;
  readonly #reader: Thread<ReaderQuestion>;

  constructor(file: string) {
    this.#thread = new Thread(
      () =>
        new Worker(new URL('./store.worker.ts', import.meta.url), {
          name: 'store',
          workerData: { file },
          resourceLimits,
        }),
    );
    this.#reader = new Thread(
      () =>
        new Worker(new URL('./reader.worker.ts', import.meta.url), {
          name: 'reader',
          workerData: { file },
          resourceLimits,
        }),
    );
  }

  /** Kysely over the thread that reads. */
  kysely(): Kysely<Database> {
    return remoteKysely({
      adapter: new SqliteAdapter(),
      compiler: () => new SqliteQueryCompiler(),
      read: (sql, parameters) => this.read(sql, parameters),
    });
  }

  /** The same for single statements that change something: rows that several processes share. */
  writingKysely(): Kysely<Database> {
    return remoteKysely({
      adapter: new SqliteAdapter(),
      compiler: () => new SqliteQueryCompiler(),
      read: (sql, parameters) => this.#write(sql, parameters),
    });
  }

  async #write(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
    return (await this.#thread.ask({ kind: 'write', sql, parameters })) as readonly unknown[];
  }

  async read(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
    return (await this.#reader.ask({ kind: 'read', sql, parameters })) as readonly unknown[];
  }

  /** Appends to the audit log: all of them or none. */
  async appendAudit(rows: readonly AuditRow[]): Promise<void> {
    await this.#thread.ask({ kind: 'audit', rows });
  }

  /** Moves what the write-ahead log holds into the database, as far as nobody is in the way. */
  async checkpoint(): Promise<void> {
    await this.#thread.ask({ kind: 'checkpoint' });
  }

  async overview(tenant: string | null, query: OverviewQuery): Promise<Overview> {
    return (await this.#reader.ask({ kind: 'overview', tenant, query })) as Overview;
  }

  async overviewJson(tenant: string | null, query: OverviewQuery): Promise<string> {
    return (await this.#reader.ask({ kind: 'overview in JSON', tenant, query })) as string;
  }

  async page(tenant: string | null, query: RequestQuery): Promise<RequestPage> {
    return (await this.#reader.ask({ kind: 'page', tenant, query })) as RequestPage;
  }

  /** Makes the sums of these minutes (since the epoch). */
  async rollUp(minutes: readonly number[]): Promise<void> {
    await this.#thread.ask({ kind: 'roll up', minutes });
  }

  async removeOld(retention: Retention, signal?: AbortSignal, onProgress?: OnRemoving): Promise<Removed> {
    const question = { kind: 'remove old', retention, stop: stopFlag(signal) } as const;
    return watched(onProgress, async (progress) => (await this.#thread.ask({ ...question, progress })) as Removed);
  }

  /** What is under way is given up; a checkpoint is made again when the database is opened next. */
  async close(): Promise<void> {
    await Promise.all([this.#thread.close(), this.#reader.close()]);
  }
}
