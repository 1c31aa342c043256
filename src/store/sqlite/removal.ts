import type { DatabaseSync } from 'node:sqlite';
import { timeOfId } from '../../core/ids.ts';
import type { OnRemoving } from '../../core/retention.ts';
import { archiveSome } from '../ledger.ts';
import { immediately } from '../rollups.ts';
import { kyselyOver } from './connection.ts';
import { removeOldUses } from './ledger.ts';
import type { RemovalRules } from './removal-pace.ts';
import { besideAnswers, RemovalPace } from './removal-pace.ts';
import { guessedRows } from './removal-size.ts';
import { logIsHeldUp } from './wal.ts';

/** What goes in one transaction: in a ms or less, for which the hot thread may have to wait. */
const batch = { rows: 100, payloads: 10, ledger: 50, pages: 16 };

/** How many transactions there are for each that removes rows: the others give back the room that it made. */
const turns = 4 / 3;

/** So much of the file may stay free for what comes next, as a part of it: else it would shrink and grow all the time. */
const slack = 1 / 64;

/** In these a tenant's rows lie together. */
const byTenant: ReadonlySet<string> = new Set(['requests', 'payloads']);

type Bound = string | number;

/** Rows that lie one after the other, in the order of a column. */
interface Part {
  readonly where: string;
  readonly parameters: readonly Bound[];
}

/** What is to go of a table: all rows whose `column` is below `bound`. */
export interface RemovalPlan {
  readonly table: string;
  readonly column: string;
  readonly bound: Bound;
  readonly parts: readonly Part[];
  /** Rows in one transaction. */
  readonly rows: number;
  /** How many rows there are, about. */
  readonly total: number;
  /** How many went. */
  done: number;
}

export interface RemovalOptions {
  /** Whether it is to end with the transaction that is under way: the rest goes another time. */
  readonly isStopped?: () => boolean;
  readonly rules?: RemovalRules;
  readonly onProgress?: OnRemoving;
}

/** Removes rows bit by bit, and gives back their room meanwhile, at a pace by how much there is to do. */
export class Removal {
  readonly #database: DatabaseSync;
  readonly #pace: RemovalPace;
  readonly #onProgress: OnRemoving;
  readonly #plans: RemovalPlan[] = [];
  #total = 0;
  #done = 0;
  readonly #pages: () => { readonly free: number; readonly all: number };

  constructor(database: DatabaseSync, options: RemovalOptions) {
    const { isStopped = () => false, rules = besideAnswers, onProgress = () => undefined } = options;
    this.#database = database;
    this.#pace = new RemovalPace(rules, { isStopped, isHeldUp: logIsHeldUp(database) });
    this.#onProgress = onProgress;
    const free = database.prepare('PRAGMA freelist_count');
    const all = database.prepare('PRAGMA page_count');
    this.#pages = () => ({ free: Number(free.get()?.['freelist_count']), all: Number(all.get()?.['page_count']) });
  }

  /** @param grain Of sums. */
  plan(table: string, column: string, bound: Bound, grain?: number): RemovalPlan {
    const old = this.#partsOf(table, grain).flatMap((part) => {
      const oldest = this.#oldest({ table, column, bound }, part);
      return oldest === null ? [] : [{ part, oldest }];
    });
    const from = Math.min(...old.map(({ oldest }) => oldest));
    const sort = grain === undefined ? { table } : { table, grain };
    const total = old.length === 0 ? 0 : guessedRows(this.#database, { ...sort, from, to: timeAt(bound) });
    const rows = table === 'payloads' ? batch.payloads : table === 'ledger' ? batch.ledger : batch.rows;
    const plan = { table, column, bound, parts: old.map(({ part }) => part), rows, total, done: 0 };
    this.#plans.push(plan);
    this.#total += total;
    return plan;
  }

  /** Sets the pace by all that was planned. */
  begin(): void {
    const removing = this.#plans.reduce((sum, { total, rows }) => sum + total / rows, 0);
    this.#pace.expect(removing * turns + this.#pages().free / batch.pages);
  }

  async remove(plan: RemovalPlan): Promise<void> {
    for (const part of plan.parts) {
      if (!this.#pace.isStopped) await this.#removePart(plan, part);
    }
  }

  /** What the ledger's rows came to stays counted. */
  async archive(plan: RemovalPlan, below: string): Promise<void> {
    const db = kyselyOver(this.#database);
    for (let isMore = plan.parts.length > 0; isMore && !this.#pace.isStopped;) {
      isMore = await this.#pace.step(() => immediately(db, (one) => archiveSome(one, below, plan.rows)));
      this.#went(plan, plan.rows);
      await this.#giveSomeBack();
    }
  }

  async removeUses(bound: number): Promise<void> {
    for (let removed = batch.rows; removed === batch.rows && !this.#pace.isStopped;) {
      removed = await this.#pace.step(() => removeOldUses(this.#database, bound, batch.rows));
    }
  }

  /** What is left free, beside what is soon used again. */
  async giveBack(): Promise<void> {
    while (!this.#pace.isStopped && (await this.#giveSomeBack())) continue;
    this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
  }

  /** @returns Whether anything was. */
  async #giveSomeBack(): Promise<boolean> {
    const { free, all } = this.#pages();
    if (free <= all * slack) return false;
    await this.#pace.step(() => this.#database.exec(`PRAGMA incremental_vacuum(${batch.pages})`));
    // A file that was made without room for giving back has to be rewritten first.
    return this.#pages().free < free;
  }

  #went(plan: RemovalPlan, rows: number): void {
    plan.done += rows;
    this.#done += rows;
    this.#onProgress(this.#done, Math.max(this.#done, this.#total));
  }

  #partsOf(table: string, grain: number | undefined): Part[] {
    if (grain !== undefined) return [{ where: 'grain = ?', parameters: [grain] }];
    if (!byTenant.has(table)) return [{ where: '1', parameters: [] }];
    const first = this.#database.prepare(`SELECT tenant FROM ${table} ORDER BY tenant LIMIT 1`);
    const next = this.#database.prepare(`SELECT tenant FROM ${table} WHERE tenant > ? ORDER BY tenant LIMIT 1`);
    const parts: Part[] = [];
    for (let row = first.get(); row !== undefined; row = next.get(String(row['tenant']))) {
      parts.push({ where: 'tenant = ?', parameters: [String(row['tenant'])] });
    }
    return parts;
  }

  /** In ms since the Unix epoch; `null` where nothing is to go. */
  #oldest({ table, column, bound }: Pick<RemovalPlan, 'table' | 'column' | 'bound'>, part: Part): number | null {
    const { where, parameters } = part;
    const query = `SELECT ${column} AS least FROM ${table} WHERE ${where} AND ${column} < ? ORDER BY ${column} LIMIT 1`;
    const row = this.#database.prepare(query).get(...parameters, bound);
    return row === undefined ? null : timeAt(row['least'] as Bound);
  }

  async #removePart(plan: RemovalPlan, { where, parameters }: Part): Promise<void> {
    const { table, column, bound, rows } = plan;
    const ofBatch = this.#database.prepare(
      `SELECT ${column} AS bound FROM ${table} WHERE ${where} AND ${column} < ? ORDER BY ${column} LIMIT 1 OFFSET ${rows}`,
    );
    const below = this.#database.prepare(`DELETE FROM ${table} WHERE ${where} AND ${column} < ?`);
    const at = this.#database.prepare(`DELETE FROM ${table} WHERE ${where} AND ${column} = ?`);
    for (;;) {
      const end = ofBatch.get(...parameters, bound)?.['bound'];
      const until = (end ?? bound) as Bound;
      let some = await this.#pace.step(() => Number(below.run(...parameters, until).changes));
      // Where a whole batch is of one moment, that moment goes at once.
      if (some === 0 && end !== undefined) {
        some = await this.#pace.step(() => Number(at.run(...parameters, until).changes));
      }
      this.#went(plan, some);
      if (end === undefined || this.#pace.isStopped) return;
      await this.#giveSomeBack();
    }
  }
}

function timeAt(bound: Bound): number {
  return typeof bound === 'number' ? bound : (timeOfId(bound) ?? 0);
}
