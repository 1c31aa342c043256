import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { escapeIdentifier } from 'pg';
import type { DatabaseFacts, OnProgress, TableFacts } from '../contract.ts';

/** The tables of the client's schema, partitions within their parents, by name. */
export async function tableNames(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ readonly name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND NOT EXISTS (
         SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype = 'e')
     ORDER BY c.relname COLLATE "C"`,
  );
  return rows.map(({ name }) => name);
}

/** What the client's schema holds. The server does the counting. */
export async function postgresFacts(client: ClientBase, onProgress: OnProgress): Promise<DatabaseFacts> {
  const names = await tableNames(client);
  const tables: TableFacts[] = [];
  for (const [i, name] of names.entries()) {
    onProgress({ step: 'counting', done: i, total: names.length });
    tables.push(await tableFacts(client, name));
  }
  if (!names.includes('kysely_migration')) return { migrations: [], tables };
  const { rows } = await client.query<{ readonly name: string }>(
    'SELECT name FROM kysely_migration ORDER BY name COLLATE "C"',
  );
  return { migrations: rows.map(({ name }) => name), tables };
}

/** Sums of the rows' hashes: the same in whatever order the rows lie, without sorting or sending them. */
async function tableFacts(client: ClientBase, name: string): Promise<TableFacts> {
  const sums = [0, 1, 2, 3].map((i) => `sum(('x' || substr(hash, ${1 + i * 15}, 15))::bit(60)::bigint)`).join(', ');
  const { rows } = await client.query<{ readonly count: string; readonly sums: string }>(
    `SELECT count(*)::text AS count, concat_ws(' ', ${sums}) AS sums
     FROM (SELECT encode(sha256(convert_to(t::text, 'UTF8')), 'hex') AS hash FROM ${escapeIdentifier(name)} t) rows`,
  );
  const [row] = rows;
  return {
    name,
    rows: Number(row?.count),
    sha256: createHash('sha256')
      .update(row?.sums ?? '')
      .digest('hex'),
  };
}
