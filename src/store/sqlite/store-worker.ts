import { Worker } from 'node:worker_threads';
import type { Kysely } from 'kysely';
import { SqliteAdapter, SqliteQueryCompiler } from 'kysely';
import type { Overview, OverviewQuery } from '../../core/overview.ts';
import type { Removed, Retention } from '../../core/retention.ts';
import type { Database } from '../schema.ts';
import { remoteKysely, Thread } from '../thread.ts';
import type { AuditRow } from './audit-chain.ts';
import type { WorkerQuestion } from './worker-protocol.ts';

/** A second thread with connections of its own: reads of any size, and checkpoints. */
export class StoreWorker {
  readonly #thread: Thread<WorkerQuestion>;

  constructor(file: string) {
    this.#thread = new Thread(
      () =>
        new Worker(new URL('./store.worker.ts', import.meta.url), {
          name: 'store',
          workerData: { file },
          resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 256 },
        }),
    );
  }

  /** Kysely over this thread; it reads only. */
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
    return (await this.#thread.ask({ kind: 'read', sql, parameters })) as readonly unknown[];
  }

  /** Appends to the audit log: all of them or none. */
  async appendAudit(rows: readonly AuditRow[]): Promise<void> {
    await this.#thread.ask({ kind: 'audit', rows });
  }

  /** Moves what the write-ahead log holds into the database, as far as nobody is in the way. */
  async checkpoint(): Promise<void> {
    await this.#thread.ask({ kind: 'checkpoint' });
  }

  /** Reads the whole file, and says what is wrong with it; `null` where it is sound. */
  async findDamage(): Promise<string | null> {
    return (await this.#thread.ask({ kind: 'find damage' })) as string | null;
  }

  async overview(tenant: string | null, query: OverviewQuery): Promise<Overview> {
    return (await this.#thread.ask({ kind: 'overview', tenant, query })) as Overview;
  }

  /** Makes the sums of these minutes (since the epoch). */
  async rollUp(minutes: readonly number[]): Promise<void> {
    await this.#thread.ask({ kind: 'roll up', minutes });
  }

  async removeOld(retention: Retention): Promise<Removed> {
    return (await this.#thread.ask({ kind: 'remove old', retention })) as Removed;
  }

  /** What is under way is given up; a checkpoint is made again when the database is opened next. */
  close(): Promise<void> {
    return this.#thread.close();
  }
}
