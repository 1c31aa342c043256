import type { Pool } from 'pg';
import type { PaidRow } from './worker-protocol.ts';

/** The longest period but `total`, with a day to spare for time zones, in ms. */
const longestMs = 33 * 86_400_000;

/** What others did, all of it in one question: an idle process asks it twice a second. */
const question = `
  SELECT (SELECT json_object_agg(table_name, version)::text FROM table_versions) AS versions,
    EXISTS (SELECT FROM rollups_due) AS "hasSumsDue",
    CASE WHEN $1 THEN (
      SELECT coalesce(json_agg(json_build_array(budget, start, used)), '[]')::text FROM budget_use
      WHERE start = 0 OR start > $2
    ) END AS paid`;

export interface Seen {
  /** How often each replicated table was changed. */
  readonly versions: Readonly<Record<string, number>>;
  /** Whether there are minutes whose sums are not those of the log any more. */
  readonly hasSumsDue: boolean;
  /** What all have paid of the budgets of now: a JSON array of `PaidRow`s. `null` where it wasn't asked for. */
  readonly paid: string | null;
}

interface Answer extends Omit<Seen, 'versions'> {
  readonly versions: string | null;
}

export function paidRows(paid: string | null): readonly PaidRow[] {
  return JSON.parse(paid ?? '[]') as PaidRow[];
}

/** @throws whatever the connection throws where PostgreSQL is away. */
export async function look(pool: Pool, isPaidAsked: boolean): Promise<Seen> {
  const { rows } = await pool.query<Answer>(question, [isPaidAsked, Date.now() - longestMs]);
  const { versions = null, hasSumsDue = false, paid = null } = rows[0] ?? {};
  return { versions: JSON.parse(versions ?? '{}') as Record<string, number>, hasSumsDue, paid };
}
