import type { Pool, PoolClient } from 'pg';
import { firstIdAt, timeOfId } from '../../core/ids.ts';

/** The tables that lie in partitions by the day of a request's arrival (UTC). */
export const partitionedTables = ['requests', 'attempts', 'payloads'] as const;

export type PartitionedTable = (typeof partitionedTables)[number];

const dayMs = 86_400_000;

/** Under this lock partitions are made, so that two processes don't make the same one. */
const partitionLock = 7_226_002;

/** `20260131` */
function nameOfDay(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10).replaceAll('-', '');
}

/** The day that an id with its time in it belongs to; `null` for any other text. */
export function dayOfId(id: string): number | null {
  const ms = /^req_[0-7][0-9a-z]{25}$/.test(id) ? timeOfId(id) : null;
  // PostgreSQL takes any text for a bound; four digits of a year are what names have room for.
  return ms !== null && ms < Date.UTC(9999, 0, 1) ? Math.floor(ms / dayMs) : null;
}

/** Makes the partitions of these days, where they are missing. */
export async function ensurePartitions(client: PoolClient, days: Iterable<number>): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1)', [partitionLock]);
  for (const day of days) {
    for (const table of partitionedTables) {
      await client.query('SAVEPOINT partition');
      try {
        await client.query(
          `CREATE TABLE IF NOT EXISTS ${table}_${nameOfDay(day)} PARTITION OF ${table}
           FOR VALUES FROM ('${firstIdAt(day * dayMs)}') TO ('${firstIdAt((day + 1) * dayMs)}')`,
        );
      } catch (error) {
        // Rows of a day whose partition is gone lie in the table for all others, and so will those that follow.
        if (!isOccupied(error)) throw error;
        await client.query('ROLLBACK TO partition');
      }
    }
  }
}

function isOccupied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23514';
}

/**
 * Drops the partitions of `table` that hold nothing from `before` (ms since the Unix epoch) on. Their disk space is
 * back at once. Gives up, to be tried again, where somebody reads them for long.
 * @returns How many were dropped.
 */
export async function dropPartitions(pool: Pool, table: PartitionedTable, before: number): Promise<number> {
  const { rows } = await pool.query(
    'SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass',
    [table],
  );
  const first = nameOfDay(Math.floor(before / dayMs));
  const old = (rows as { readonly name: string }[])
    .map(({ name }) => name)
    .filter((name) => name.startsWith(`${table}_`) && /^\d{8}$/.test(name.slice(table.length + 1)))
    .filter((name) => name.slice(table.length + 1) < first);
  const client = await pool.connect();
  try {
    for (const name of old.toSorted()) {
      await client.query(`BEGIN; SET LOCAL lock_timeout = '2s'; DROP TABLE ${name}; COMMIT`);
    }
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
  return old.length;
}
