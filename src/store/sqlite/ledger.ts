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
    uses: () => readUses(kysely),
    check: () => checkLedger(kysely),
  };
}
