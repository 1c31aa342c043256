import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { firstIdAt } from '../../core/ids.ts';
import type { Removed, Retention } from '../../core/retention.ts';
import { archiveSome, oldPeriod } from '../ledger.ts';
import { grains, immediately } from '../rollups.ts';
import { kyselyOver } from './connection.ts';
import { removeOldUses } from './ledger.ts';

const dayMs = 86_400_000;

/** What is removed in one transaction: a ms or two, for which the hot thread may have to wait. */
const batch = { rows: 100, pages: 64 };

/** How many times as long as it took is waited after each transaction, so that others get to write. */
const restFactor = 6;

/**
 * Removes what is older than it is kept, in small transactions with pauses between them, and gives the room back to
 * the disk.
 * @param now In ms since the Unix epoch.
 * @param isStopped Whether it is to end with the transaction that is under way: the rest goes another time.
 */
export async function removeOld(
  database: DatabaseSync,
  retention: Retention,
  now: number,
  isStopped: () => boolean = () => false,
): Promise<Removed> {
  const before = sizeOf(database);
  const log = firstIdAt(now - retention.log * dayMs);
  const minutes = now - Math.min(retention.log, retention.rollups) * dayMs;
  const requests = await perTenant(database, { table: 'requests', column: 'id', bound: log, isStopped });
  const part = { where: '1', parameters: [], isStopped };
  await inBatches(database, { ...part, table: 'attempts', column: 'request_id' }, log);
  await archiveLedger(database, log, isStopped);
  await removeUses(database, oldPeriod(now, retention.log), isStopped);
  const payloads = await perTenant(database, {
    table: 'payloads',
    column: 'request_id',
    bound: firstIdAt(now - Math.min(retention.payloads, retention.log) * dayMs),
    isStopped,
  });
  let rollups = 0;
  for (const grain of Object.values(grains)) {
    const bound = grain === grains.minute ? minutes : now - retention.rollups * dayMs;
    rollups += await inBatches(
      database,
      { table: 'rollups', column: 'start', where: 'grain = ?', parameters: [grain], isStopped },
      bound,
    );
  }
  await giveBack(database, isStopped);
  return { requests, payloads, rollups, freedBytes: Math.max(0, before - sizeOf(database)) };
}

/** What the ledger's rows came to stays counted. */
async function archiveLedger(database: DatabaseSync, below: string, isStopped: () => boolean): Promise<void> {
  const db = kyselyOver(database);
  for (let isMore = true; isMore && !isStopped();) {
    const startedAt = performance.now();
    isMore = await immediately(db, (connection) => archiveSome(connection, below, batch.rows / 5));
    await wait(restFactor * (performance.now() - startedAt));
  }
}

async function removeUses(database: DatabaseSync, bound: number, isStopped: () => boolean): Promise<void> {
  for (let removed = batch.rows; removed === batch.rows && !isStopped();) {
    removed = await paced(() => removeOldUses(database, bound, batch.rows));
  }
}

interface Part {
  readonly table: string;
  /** Rows go in its order, up to a bound. */
  readonly column: string;
  readonly where: string;
  readonly parameters: readonly (string | number)[];
  readonly isStopped: () => boolean;
}

async function perTenant(
  database: DatabaseSync,
  { table, column, bound, isStopped }: Pick<Part, 'table' | 'column' | 'isStopped'> & { readonly bound: string },
): Promise<number> {
  const next = database.prepare(`SELECT tenant FROM ${table} WHERE tenant > ? ORDER BY tenant LIMIT 1`);
  const first = database.prepare(`SELECT tenant FROM ${table} ORDER BY tenant LIMIT 1`);
  let removed = 0;
  for (let row = first.get(); row !== undefined; row = next.get(String(row['tenant']))) {
    const part = { table, column, where: 'tenant = ?', parameters: [String(row['tenant'])], isStopped };
    removed += await inBatches(database, part, bound);
  }
  return removed;
}

async function inBatches(database: DatabaseSync, part: Part, bound: string | number): Promise<number> {
  const { table, column, where, parameters, isStopped } = part;
  const ofBatch = database.prepare(
    `SELECT ${column} AS bound FROM ${table} WHERE ${where} AND ${column} < ? ORDER BY ${column} LIMIT 1 OFFSET ${batch.rows}`,
  );
  const below = database.prepare(`DELETE FROM ${table} WHERE ${where} AND ${column} < ?`);
  const at = database.prepare(`DELETE FROM ${table} WHERE ${where} AND ${column} = ?`);
  let removed = 0;
  for (;;) {
    const end = ofBatch.get(...parameters, bound)?.['bound'];
    const until = (end ?? bound) as string | number;
    const some = await paced(() => Number(below.run(...parameters, until).changes));
    // Where a whole batch is of one moment, that moment goes at once.
    removed += some === 0 && end !== undefined ? await paced(() => Number(at.run(...parameters, until).changes)) : some;
    if (end === undefined || isStopped()) return removed;
  }
}

async function giveBack(database: DatabaseSync, isStopped: () => boolean): Promise<void> {
  for (let left = free(database); left > 0 && !isStopped();) {
    await paced(() => database.exec(`PRAGMA incremental_vacuum(${batch.pages})`));
    const now = free(database);
    // A file that was made without room for giving back has to be rewritten first.
    if (now >= left) return;
    left = now;
  }
  database.exec('PRAGMA wal_checkpoint(PASSIVE)');
}

function free(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA freelist_count').get()?.['freelist_count']);
}

async function paced<T>(work: () => T): Promise<T> {
  const startedAt = performance.now();
  const result = work();
  await wait(restFactor * (performance.now() - startedAt));
  return result;
}

function sizeOf(database: DatabaseSync): number {
  const file = database.location();
  return file === null ? 0 : statSync(file).size;
}
