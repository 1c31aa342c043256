import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { BudgetRule, LimitRule, LimitRules } from '../../core/limit.ts';
import type { IdentityEpoch } from './identity-epoch.ts';
import { inTransaction } from './transaction.ts';

/** Limits and budgets that were made while Mizan ran. Whoever remembers them looks at the epoch. */
export class SqliteLimitRules implements LimitRules {
  readonly #database: DatabaseSync;
  readonly #epoch: IdentityEpoch;
  readonly #list: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;

  constructor(database: DatabaseSync, epoch: IdentityEpoch) {
    this.#database = database;
    this.#epoch = epoch;
    this.#list = database.prepare('SELECT rule FROM limit_rules WHERE kind = ? ORDER BY name');
    this.#put = database.prepare(
      `INSERT INTO limit_rules (kind, name, rule, created_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (kind, name) DO UPDATE SET rule = excluded.rule`,
    );
    this.#remove = database.prepare('DELETE FROM limit_rules WHERE kind = ? AND name = ?');
  }

  get version(): number {
    return this.#epoch.recent();
  }

  limits(): LimitRule[] {
    return this.#list.all('limit').map(({ rule }) => JSON.parse(String(rule)) as LimitRule);
  }

  budgets(): BudgetRule[] {
    return this.#list.all('budget').map(({ rule }) => JSON.parse(String(rule)) as BudgetRule);
  }

  putLimit(rule: LimitRule, at: number): void {
    this.#write(() => this.#put.run('limit', rule.name, JSON.stringify(rule), at));
  }

  putBudget(rule: BudgetRule, at: number): void {
    this.#write(() => this.#put.run('budget', rule.name, JSON.stringify(rule), at));
  }

  remove(kind: 'limit' | 'budget', name: string): boolean {
    return this.#write(() => this.#remove.run(kind, name).changes > 0);
  }

  #write<T>(work: () => T): T {
    return inTransaction(this.#database, () => {
      const result = work();
      this.#epoch.raise();
      return result;
    });
  }
}
