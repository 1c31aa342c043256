import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { newRequestId } from '../../core/ids.ts';
import type { Store } from './index.ts';
import { grains } from '../rollups.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';

const events = { failed() {}, recovered() {}, dropped() {} };
const retention = { log: 90, payloads: 14, rollups: 730 };
const dayMs = 86_400_000;

async function fill(store: Store, count: number, ageDays: number): Promise<void> {
  const time = Date.now() - ageDays * dayMs;
  for (let done = 0; done < count; done += 1000) {
    const some = Array.from({ length: 1000 }, (_, i) => {
      const at = time + done + i;
      return requestRecord({
        id: newRequestId(at),
        time: at,
        tenant: i % 2 === 0 ? 'a' : 'b',
        errorMessage: 'x'.repeat(200),
      });
    });
    await Promise.all(some.map((record) => store.requestLog.append(record)));
  }
}

test('the file shrinks by what was removed, while requests are logged', async () => {
  const folder = temporaryFolder();
  const file = join(folder, databaseFile);
  const store = await openStore(folder, { events });
  await fill(store, 20_000, 100);
  await fill(store, 5000, 1);
  const other = new DatabaseSync(file);
  other.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  const before = statSync(file).size;
  const removal = store.removeOld(retention);
  await store.requestLog.append(requestRecord({ id: newRequestId(Date.now()), tenant: 'meanwhile' }));
  const removed = await removal;
  expect(removed.requests).toBe(20_000);
  other.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  other.close();
  expect(statSync(file).size).toBeLessThan(before * 0.35);
  expect(await store.requestHistory.list('meanwhile', { limit: 10 })).toHaveLength(1);
  expect(await store.requestHistory.list('a', { limit: 1000 })).toHaveLength(1000);
  await store.close();
});

test('sums of one minute go, however many agents had one then', async () => {
  const folder = temporaryFolder();
  const store = await openStore(folder, { events });
  const other = new DatabaseSync(join(folder, databaseFile));
  const start = Date.now() - 100 * dayMs;
  const insert = other.prepare("INSERT INTO rollups VALUES ('a', ?, ?, ?, 'm', 'i', 1, 0, 1, 1, 0, '')");
  other.exec('BEGIN');
  for (const [at, agents] of [
    [start - 60_000, 30],
    [start, 250],
    [start + 60_000, 30],
  ] as const) {
    for (let agent = 0; agent < agents; agent++) insert.run(grains.minute, at, String(agent));
  }
  other.exec('COMMIT');
  other.close();
  const removed = await store.removeOld(retention);
  expect(removed.rollups).toBe(310);
  await store.close();
});

test('a file that was made without room for giving back gets it at the next start', async () => {
  const folder = temporaryFolder();
  const file = join(folder, databaseFile);
  const old = new DatabaseSync(file);
  old.exec('PRAGMA journal_mode = WAL; CREATE TABLE mine (x); INSERT INTO mine VALUES (1)');
  old.close();
  await (await openStore(folder, { events })).close();
  const now = new DatabaseSync(file);
  expect(now.prepare('PRAGMA auto_vacuum').get()).toMatchObject({ auto_vacuum: 2 });
  expect(now.prepare('SELECT * FROM mine').all()).toHaveLength(1);
  now.close();
});
