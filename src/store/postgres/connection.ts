import { Kysely, PostgresDialect } from 'kysely';
import type { PoolClient } from 'pg';
import { Pool, types } from 'pg';
import type { Database } from '../schema.ts';

export interface PoolOptions {
  /** Connections at most. */
  readonly max: number;
  /** How long a statement may take, in ms; 0 for as long as it likes. */
  readonly statementTimeoutMs: number;
  /** How PostgreSQL knows the connections; `mizan` where nothing is said. */
  readonly name?: string | undefined;
}

/** How long a connection may take to come about, in ms. */
const connectTimeoutMs = 5000;

/** Connections to the server at `url`. None is made before it is needed; one that breaks is replaced by the next. */
export function openPool(url: string, options: PoolOptions): Pool {
  // `pg` gives 8-byte integers as text: all of ours are counts and ms, far below 2⁵³.
  const pool = new Pool({
    connectionString: url,
    max: options.max,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    application_name: options.name ?? 'mizan',
    statement_timeout: options.statementTimeoutMs,
    types: {
      getTypeParser: (oid, format) => (oid === types.builtins.INT8 ? Number : types.getTypeParser(oid, format)),
    },
  });
  // An idle connection that breaks is not an event: whoever asks next gets another one, or an error of its own.
  pool.on('error', () => undefined);
  return pool;
}

/** Kysely over a pool; `destroy()` closes the pool. */
export function kyselyOver(pool: Pool): Kysely<Database> {
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}

/** Runs `use` on one connection, in one transaction: wholly or not at all. */
export async function inTransaction<T>(pool: Pool, use: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const result = await use(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((cause: unknown) => {
      broken = cause instanceof Error ? cause : new Error(String(cause));
    });
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Where a database is, for people: without the user and the password. */
export function placeOf(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  return `${searchParams.get('host') ?? host}${pathname}`;
}
