import type { DatabaseSync } from 'node:sqlite';
import type { Kysely } from 'kysely';
import type { Ledger } from '../../core/limit.ts';
import { checkLedger, readUses } from '../ledger.ts';
import type { Database } from '../schema.ts';

/** The ledger, as far as it is read. @param kysely For what may take its time. */
export function sqliteLedger(database: DatabaseSync, kysely: Kysely<Database>): Ledger {
  const used = database.prepare('SELECT used FROM budget_use WHERE budget = ? AND start = ?');
  const read = (budget: string, start: number): bigint => BigInt(String(used.get(budget, start)?.['used'] ?? '0'));
  return {
    used: read,
    paidByAll: read,
    uses: (starts) => readUses(kysely, starts),
    check: () => checkLedger(kysely),
  };
}

/**
 * Removes sums of periods that began before `bound` and of which the ledger has no rows any more, some at a time.
 * @returns How many went.
 */
export function removeOldUses(database: DatabaseSync, bound: number, atOnce: number): number {
  const remove = database.prepare(
    `DELETE FROM budget_use WHERE (budget, start) IN (
       SELECT budget, start FROM budget_use WHERE start > 0 AND start < ? AND used = archived LIMIT ?)`,
  );
  return Number(remove.run(bound, atOnce).changes);
}
