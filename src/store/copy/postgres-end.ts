import type { Pool, PoolClient } from 'pg';
import { inTransaction, openPool } from '../postgres/connection.ts';
import { migrate } from '../postgres/migrate.ts';
import { dayOfId, ensurePartitions, partitionedTables } from '../postgres/partitions.ts';
import type { Cell, CopyEnd, Row, TableShape } from './end.ts';
import { pageRows } from './end.ts';

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

class PostgresEnd implements CopyEnd {
  readonly #pool: Pool;
  /** Sees the database as it was when it was first looked at, whatever others write meanwhile. */
  #view: PoolClient | null = null;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async page(table: TableShape, after: readonly Cell[] | null): Promise<readonly Row[]> {
    const key = table.key.map((column) => `"${column}"`).join(', ');
    const places = (after ?? []).map((_, i) => `$${i + 1}`).join(', ');
    const where = after === null ? '' : `WHERE (${key}) > (${places})`;
    const view = await this.#look();
    const { rows } = await view.query(
      `SELECT * FROM "${table.name}" ${where} ORDER BY ${key} LIMIT ${pageRows(table)}`,
      [...(after ?? [])],
    );
    return rows as Row[];
  }

  async count(table: TableShape): Promise<number> {
    const { rows } = await (await this.#look()).query(`SELECT count(*) AS n FROM "${table.name}"`);
    return (rows as { n: number }[])[0]?.n ?? 0;
  }

  async insert(table: TableShape, rows: readonly Row[]): Promise<void> {
    // What was looked at is locked against new partitions for as long as it is.
    await this.refresh();
    await inTransaction(this.#pool, async (client) => {
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
    this.#view?.release(true);
    this.#view = null;
  }

  async close(): Promise<void> {
    await this.refresh();
    await this.#pool.end();
  }

  async #look(): Promise<PoolClient> {
    if (this.#view !== null) return this.#view;
    const view = await this.#pool.connect();
    this.#view = view;
    await view.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    return view;
  }
}

/** PostgreSQL's texts can't hold U+0000. */
function bound(cell: Cell): unknown {
  if (typeof cell === 'string') return cell.replaceAll('\u0000', '\uFFFD');
  return cell instanceof Uint8Array ? Buffer.from(cell) : cell;
}
