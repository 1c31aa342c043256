import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Limits and budgets that are made while Mizan runs, and the ledger: what was spent, attempt by attempt. */
export const limits: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('limit_rules')
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('rule', 'text', (column) => column.notNull())
      .addColumn('created_at', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('limit_rules_pk', ['kind', 'name'])
      .execute();
    await db.schema
      .createTable('ledger')
      .addColumn('request_id', 'text', (column) => column.notNull())
      .addColumn('seq', 'integer', (column) => column.notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('cost', 'integer', (column) => column.notNull())
      .addColumn('budgets', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('ledger_pk', ['request_id', 'seq'])
      .modifyEnd(sql`without rowid`)
      .execute();
    // Sums as texts: they may be longer than the numbers that JavaScript tells apart.
    await db.schema
      .createTable('budget_use')
      .addColumn('budget', 'text', (column) => column.notNull())
      .addColumn('start', 'integer', (column) => column.notNull())
      .addColumn('used', 'text', (column) => column.notNull())
      .addColumn('archived', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('budget_use_pk', ['budget', 'start'])
      .modifyEnd(sql`without rowid`)
      .execute();
  },
};
