import type { Transferable, Worker } from 'node:worker_threads';
import type { CompiledQuery, DatabaseConnection, DialectAdapter, Driver, QueryCompiler, QueryResult } from 'kysely';
import { Kysely, SqliteIntrospector } from 'kysely';
import type { ErrorCode } from '../core/errors.ts';
import { MizanError } from '../core/errors.ts';
import type { Database } from './schema.ts';

/** What a thread answers to the question of the same id, or tells unasked. */
export type ThreadMessage =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ThreadError }
  | { readonly event: unknown };

/** An error on its way from a thread: the cause is for the log only. */
export interface ThreadError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | undefined;
  readonly cause: string;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: MizanError) => void;
}

/** Pause before a thread that was lost is started again, in ms. */
const restartMs = 1000;

/** A second thread, asked by messages. It starts with its first question, and again after a crash. */
export class Thread<Question extends object> {
  readonly #start: () => Worker;
  readonly #heard: ((event: unknown) => void) | null;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | null = null;
  #lastId = 0;
  #isClosed = false;

  /** @param heard Is given what the thread tells unasked; a thread that tells is started again where it was lost. */
  constructor(start: () => Worker, heard?: (event: unknown) => void) {
    this.#start = start;
    this.#heard = heard ?? null;
  }

  /**
   * @param transfer What moves to the thread and is gone here.
   * @throws MizanError (rejects with it) where the thread could not answer.
   */
  ask(question: Question, transfer: readonly Transferable[] = []): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#running().postMessage({ ...question, id }, transfer);
    });
  }

  /** Starts it, where it has something to do of its own accord. */
  wake(): void {
    this.#running();
  }

  /** What is under way is given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #running(): Worker {
    if (this.#worker !== null) return this.#worker;
    const worker = this.#start();
    worker.unref();
    worker.on('message', (message: ThreadMessage) => this.#settle(message));
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => this.#lost(cause));
    this.#worker = worker;
    return worker;
  }

  #settle(message: ThreadMessage): void {
    if ('event' in message) {
      this.#heard?.(message.event);
      return;
    }
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ('result' in message) {
      pending?.resolve(message.result);
      return;
    }
    const { code, message: words, param, cause } = message.error;
    pending?.reject(new MizanError(code, words, param === undefined ? { cause } : { param, cause }));
  }

  #lost(cause: unknown): void {
    this.#worker = null;
    if (this.#isClosed) this.#pending.clear();
    for (const { reject } of this.#pending.values()) {
      reject(new MizanError('internal', 'The database reader stopped.', { cause }));
    }
    this.#pending.clear();
    if (this.#heard !== null && !this.#isClosed) setTimeout(() => this.#wakeAgain(), restartMs).unref();
  }

  #wakeAgain(): void {
    if (!this.#isClosed) this.wake();
  }
}

/** What Kysely needs to know of an engine whose queries another thread runs. */
export interface RemoteEngine {
  readonly adapter: DialectAdapter;
  readonly compiler: () => QueryCompiler;
  /** Runs one statement, and gives back the rows that come of it. */
  readonly read: (sql: string, parameters: readonly unknown[]) => Promise<readonly unknown[]>;
}

/** Kysely whose statements are run elsewhere, each by itself. */
export function remoteKysely(engine: RemoteEngine): Kysely<Database> {
  const driver = new RemoteDriver(engine);
  return new Kysely({
    dialect: {
      createAdapter: () => engine.adapter,
      createDriver: () => driver,
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: engine.compiler,
    },
  });
}

class RemoteDriver implements Driver {
  readonly #connection: DatabaseConnection;

  constructor({ read }: RemoteEngine) {
    this.#connection = {
      async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
        return { rows: (await read(query.sql, query.parameters)) as R[] };
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
