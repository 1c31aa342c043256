import { Worker } from 'node:worker_threads';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { MizanError } from '../../core/errors.ts';
import type { Database } from '../schema.ts';
import type { AuditRow } from './audit-chain.ts';
import type { WorkerReply, WorkerRequest } from './worker-protocol.ts';

interface Pending {
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: MizanError) => void;
}

type WithoutId<R> = R extends WorkerRequest ? Omit<R, 'id'> : never;

/** A second thread with connections of its own. It starts with its first task, and again after a crash. */
export class StoreWorker {
  readonly #file: string;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #lastId = 0;
  #isClosed = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** Kysely over this thread; it reads only. */
  kysely(): Kysely<Database> {
    const driver = new WorkerDriver(this);
    return new Kysely({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => driver,
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    });
  }

  read(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
    return this.#ask({ kind: 'read', sql, parameters });
  }

  /** Appends to the audit log: all of them or none. */
  async appendAudit(rows: readonly AuditRow[]): Promise<void> {
    await this.#ask({ kind: 'audit', rows });
  }

  /** Moves what the write-ahead log holds into the database, as far as nobody is in the way. */
  async checkpoint(): Promise<void> {
    await this.#ask({ kind: 'checkpoint' });
  }

  /** What is under way is given up; a checkpoint is made again when the database is opened next. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #ask(request: WithoutId<WorkerRequest>): Promise<readonly unknown[]> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#running().postMessage({ ...request, id });
    });
  }

  #running(): Worker {
    if (this.#worker !== null) return this.#worker;
    const worker = new Worker(new URL('./store.worker.ts', import.meta.url), {
      name: 'store',
      workerData: { file: this.#file },
      resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 256 },
    });
    worker.unref();
    worker.on('message', (reply: WorkerReply) => this.#settle(reply));
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => this.#lost(cause));
    this.#worker = worker;
    return worker;
  }

  #settle(reply: WorkerReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ('rows' in reply) pending?.resolve(reply.rows);
    else pending?.reject(new MizanError('internal', 'The database could not be read.', { cause: reply.error }));
  }

  #lost(cause: unknown): void {
    this.#worker = null;
    if (this.#isClosed) this.#pending.clear();
    for (const { reject } of this.#pending.values()) {
      reject(new MizanError('internal', 'The database reader stopped.', { cause }));
    }
    this.#pending.clear();
  }
}

class WorkerDriver implements Driver {
  readonly #connection: DatabaseConnection;

  constructor(worker: StoreWorker) {
    this.#connection = {
      async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
        return { rows: (await worker.read(query.sql, query.parameters)) as R[] };
      },
      // oxlint-disable-next-line require-yield -- the interface asks for a generator
      async *streamQuery(): AsyncGenerator<never> {
        throw new MizanError('internal', 'The reading thread does not stream.');
      },
    };
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection;
  }

  async beginTransaction(): Promise<void> {
    throw new MizanError('internal', 'The reading thread has no transactions.');
  }

  async commitTransaction(): Promise<void> {}

  async rollbackTransaction(): Promise<void> {}

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}
