import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { OwnPostgresServer } from '../../../test/support/postgres.ts';
import { ownPostgres } from '../../../test/support/postgres.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { newRequestId } from '../../core/ids.ts';
import type { Store } from '../index.ts';
import { openStore } from '../index.ts';
import { openDatabase } from '../sqlite/database.ts';
import { openPool } from './connection.ts';
import { Courier } from './courier.ts';
import { noteChanges } from './replica.ts';
import { sleepFlag, waking } from './sleep-flag.ts';
import type { PostgresNews } from './worker-protocol.ts';

// The machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const folder = mkdtempSync(join(tmpdir(), 'mizan-courier-'));
let server: OwnPostgresServer;
let url: string;
let pool: Pool;
/** It writes to the outbox, and sends nothing. */
let writer: Store;

beforeAll(async () => {
  server = await ownPostgres();
  url = await server.newDatabase();
  await (await openStore({ folder, url })).close();
  pool = openPool(url, { max: 2, statementTimeoutMs: 0 });
  writer = await openStore({ folder, url });
});

afterAll(async () => {
  await writer.close();
  await pool.end();
  await server.end();
  rmSync(folder, { recursive: true, force: true });
});

async function until(isIt: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await isIt()) && performance.now() < deadline) await wait(5);
  expect(await isIt()).toBe(true);
}

async function arrived(id: string): Promise<boolean> {
  const { rows } = await pool.query('SELECT 1 FROM requests WHERE id = $1', [id]);
  return rows.length > 0;
}

async function write(id: string): Promise<void> {
  await writer.requestLog.append(requestRecord({ id }));
}

test('what sends rows sleeps while there are none, and is woken by who writes one; what it isn’t told of it finds', async () => {
  const sleep = sleepFlag();
  const news: PostgresNews[] = [];
  const sums: boolean[] = [];
  const local = openDatabase(join(folder, 'outbox.db'), { readOnly: false, busyTimeoutMs: 5000 });
  const courier = new Courier(local, pool);
  void courier.run({ sleep, tell: (each) => news.push(each), exchanged: (hasSumsDue) => sums.push(hasSumsDue) });
  const log = waking(writer.requestLog, sleep, () => courier.wake());
  await until(() => Atomics.load(sleep, 0) === 1);
  expect(news).toContainEqual({ kind: 'paid', rows: [] });

  /** Written right after a look at PostgreSQL. @returns Whether it was there before the next. */
  const isSentAtOnce = async (): Promise<boolean> => {
    await until(() => Atomics.load(sleep, 0) === 1);
    const before = sums.length;
    await until(() => sums.length > before);
    const looks = sums.length;
    const told = newRequestId(Date.now());
    await log.append(requestRecord({ id: told }));
    await until(() => arrived(told));
    return sums.length === looks;
  };
  // A machine that has much else to do may take longer than half a second for one.
  const tries: boolean[] = [];
  while (tries.length < 5 && !tries.includes(true)) tries.push(await isSentAtOnce());
  expect(tries).toContain(true);
  // It is awake, and says so, for as long as more may come.
  expect(Atomics.load(sleep, 0)).toBe(0);
  await until(() => sums.includes(true));

  await until(() => Atomics.load(sleep, 0) === 1);
  const untold = newRequestId(Date.now());
  await write(untold);
  await until(() => arrived(untold));

  await pool.query("INSERT INTO budget_use (budget, start, used, archived) VALUES ('all', 0, '12', '0')");
  await until(() => news.some((each) => each.kind === 'paid' && each.rows.length > 0));
  expect(news.findLast(({ kind }) => kind === 'paid')).toStrictEqual({ kind: 'paid', rows: [['all', 0, '12']] });
});

test('of all who write while it sleeps, one wakes it, once its row is committed', async () => {
  const sleep = sleepFlag();
  const commits: (() => void)[] = [];
  const log = { pending: 0, append: () => new Promise<void>((resolve) => commits.push(resolve)) };
  let woken = 0;
  const awake = waking(log, sleep, () => woken++);
  const some = [awake.append(requestRecord({})), awake.append(requestRecord({}))];
  Atomics.store(sleep, 0, 1);
  some.push(awake.append(requestRecord({})), awake.append(requestRecord({})));
  expect([woken, Atomics.load(sleep, 0)]).toStrictEqual([0, 0]);
  for (const commit of commits) commit();
  await Promise.all(some);
  expect(woken).toBe(1);
});

test('what is changed here is sent at once, though it is long until the next look', async () => {
  const own = mkdtempSync(join(tmpdir(), 'mizan-courier-'));
  await (await openStore({ folder: own, url })).close();
  const open = () => openDatabase(join(own, 'outbox.db'), { readOnly: false, busyTimeoutMs: 5000 });
  const [local, gateway] = [open(), open()];
  const courier = new Courier(local, pool, 3_600_000);
  const sleep = sleepFlag();
  void courier.run({ sleep, tell: () => undefined, exchanged: () => undefined });
  await until(() => Atomics.load(sleep, 0) === 1);
  // After this look the next one is in an hour.
  await courier.settled();
  noteChanges(gateway, () => setImmediate(() => courier.changed()));
  gateway.exec("INSERT INTO token_revocations (kind, value, tenant, revoked_at) VALUES ('jti', 't1', 'acme', 1)");
  const sent = async () => (await pool.query("SELECT FROM token_revocations WHERE value = 't1'")).rows;
  await vi.waitFor(async () => expect(await sent()).toHaveLength(1), { timeout: 30_000, interval: 5 });
  gateway.close();
  rmSync(own, { recursive: true, force: true });
});
