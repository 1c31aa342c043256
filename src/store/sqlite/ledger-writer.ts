import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { RequestRecord } from '../../core/request-record.ts';

/** Writes what requests cost the budgets, within whatever transaction is open. */
export class LedgerWriter {
  readonly #insert: StatementSync;
  readonly #add: StatementSync;

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare(
      'INSERT INTO ledger (request_id, seq, tenant, model, cost, budgets) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#add = database.prepare(
      `INSERT INTO budget_use (budget, start, used, archived) VALUES ($budget, $start, $cost, '0')
       ON CONFLICT (budget, start) DO UPDATE SET used = CAST(CAST(used AS INTEGER) + $cost AS TEXT)`,
    );
  }

  write({ id, tenant, charges = [] }: RequestRecord): void {
    for (const { seq, model, cost, budgets } of charges) {
      this.#insert.run(id, seq, tenant, model, cost, JSON.stringify(budgets));
      for (const [budget, start] of budgets) this.#add.run({ $budget: budget, $start: start, $cost: BigInt(cost) });
    }
  }
}
