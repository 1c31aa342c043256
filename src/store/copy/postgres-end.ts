import type { Pool, PoolClient } from 'pg';
import { SetupError } from '../../core/errors.ts';
import { inTransaction, openPool } from '../postgres/connection.ts';
import { migrate } from '../postgres/migrate.ts';
import { dayOfId, ensurePartitions, partitionedTables } from '../postgres/partitions.ts';
import type { Cell, CopyEnd, Row, TableShape } from './end.ts';
import { pageRows } from './end.ts';

/** How long others may be in the way, in ms. */
const lockTimeoutMs = 30_000;

export async function openPostgresEnd(url: string): Promise<CopyEnd> {
  const pool = openPool(url, { max: 2, statementTimeoutMs: 0 });
  try {
    await migrate(pool);
    return new PostgresEnd(pool);
  } catch (error) {
    await pool.end();
    throw error;
  }
}

/** A connection that sees the database as it is now, whatever others write meanwhile. */
async function viewOf(pool: Pool): Promise<PoolClient> {
  const client = await pool.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  return client;
}

class PostgresEnd implements CopyEnd {
  readonly #pool: Pool;
  /** `null` until something is read. */
  #view: PoolClient | null = null;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async page(table: TableShape, after: readonly Cell[] | null): Promise<readonly Row[]> {
    const key = table.key.map((column) => `"${column}"`).join(', ');
    const places = (after ?? []).map((_, i) => `$${i + 1}`).join(', ');
    const where = after === null ? '' : `WHERE (${key}) > (${places})`;
    const { rows } = await (
      await this.#viewed()
    ).query(`SELECT * FROM "${table.name}" ${where} ORDER BY ${key} LIMIT ${pageRows(table)}`, [...(after ?? [])]);
    return rows as Row[];
  }

  async count(table: TableShape): Promise<number> {
    const { rows } = await (await this.#viewed()).query(`SELECT count(*) AS n FROM "${table.name}"`);
    return (rows as { n: number }[])[0]?.n ?? 0;
  }

  async insert(table: TableShape, rows: readonly Row[]): Promise<void> {
    // What was read is locked for as long as the view is open, and a new partition needs its table for itself.
    this.#leave();
    try {
      await this.#insert(table, rows);
    } catch (error) {
      const isLocked = error instanceof Error && 'code' in error && error.code === '55P03';
      if (!isLocked) throw error;
      throw new SetupError(`${table.name} is in use by others in the target. Stop every Mizan there first.`);
    }
  }

  async #insert(table: TableShape, rows: readonly Row[]): Promise<void> {
    await inTransaction(this.#pool, async (client) => {
      await client.query(`SET LOCAL lock_timeout = '${lockTimeoutMs}ms'`);
      if (partitionedTables.some((name) => name === table.name)) {
        const ids = rows.map((row) => String(row['id'] ?? row['request_id']));
        await ensurePartitions(client, new Set(ids.map(dayOfId).filter((day) => day !== null)));
      }
      const columns = table.columns.map((column) => `"${column}"`).join(', ');
      // PostgreSQL takes 65,535 parameters at most.
      const most = Math.floor(20_000 / table.columns.length);
      for (let i = 0; i < rows.length; i += most) {
        const some = rows.slice(i, i + most);
        const parameters = some.flatMap((row) => table.columns.map((column) => bound(row[column] ?? null)));
        const places = some.map(
          (_, r) => `(${table.columns.map((__, c) => `$${r * table.columns.length + c + 1}`).join(', ')})`,
        );
        await client.query(
          `INSERT INTO "${table.name}" (${columns}) VALUES ${places.join(', ')} ON CONFLICT DO NOTHING`,
          parameters,
        );
      }
    });
  }

  async refresh(): Promise<void> {
    this.#leave();
  }

  async close(): Promise<void> {
    this.#leave();
    await this.#pool.end();
  }

  async #viewed(): Promise<PoolClient> {
    return (this.#view ??= await viewOf(this.#pool));
  }

  #leave(): void {
    this.#view?.release(true);
    this.#view = null;
  }
}

/** PostgreSQL's texts can't hold U+0000. */
function bound(cell: Cell): unknown {
  if (typeof cell === 'string') return cell.replaceAll('\u0000', '\uFFFD');
  return cell instanceof Uint8Array ? Buffer.from(cell) : cell;
}
