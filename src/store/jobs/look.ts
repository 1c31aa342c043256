import type { Kysely } from 'kysely';
import { CompiledQuery, sql } from 'kysely';
import type { JobRun, StoredJob } from '../../core/jobs.ts';
import { isPostgres } from '../migrations/dialect.ts';
import type { Database } from '../schema.ts';
import { jobColumns, jobFields, jobOf, runOf } from './rows.ts';
import { openColumns, openQuery } from './runs.ts';

type JobRow = Parameters<typeof jobOf>[0];
type OpenRow = Parameters<typeof runOf>[0];

interface Seen {
  readonly jobs: string | null;
  readonly runs: string | null;
}

/** One statement, whose two parts are of one time. It is asked once a second, and put into words once. */
export function lookOf(db: Kysely<Database>): string {
  const list = isPostgres(db as Kysely<unknown>) ? postgresList : sqliteList;
  const changed = db.selectFrom('jobs').select(jobColumns).where('revision', '>=', 0);
  return sql`
    select (${list(sql`${changed}`, jobFields)}) as jobs, (${list(openQuery(0), openColumns)}) as runs`.compile(db).sql;
}

/** @param look By `lookOf`. */
export async function lookAt(
  db: Kysely<Database>,
  look: string,
  { revision, now }: { readonly revision: number; readonly now: number },
): Promise<{ readonly jobs: StoredJob[]; readonly runs: JobRun[] }> {
  const { rows } = await db.executeQuery<Seen>(CompiledQuery.raw(look, [revision, now]));
  const { jobs, runs } = rows[0] ?? {};
  return {
    jobs: (JSON.parse(jobs ?? '[]') as JobRow[]).map(jobOf),
    runs: (JSON.parse(runs ?? '[]') as OpenRow[]).map((row) => runOf(row)),
  };
}

type Query = ReturnType<typeof openQuery>;

const postgresList = (query: Query): Query => sql`select json_agg(each)::text from (${query}) as each`;

/** @param columns All that the query has. */
function sqliteList(query: Query, columns: readonly string[]): Query {
  const fields = sql.join(columns.map((column) => sql`${sql.lit(column)}, ${sql.ref(column)}`));
  return sql`select json_group_array(json_object(${fields})) from (${query})`;
}
