import { statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { newRequestId } from '../../core/ids.ts';
import { grains } from '../rollups.ts';
import { openDatabase } from './database.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';
import { guessedRows } from './removal-size.ts';
import { removeOld } from './retention.ts';
import { logIsHeldUp } from './wal.ts';

const dayMs = 86_400_000;

async function place() {
  const folder = temporaryFolder();
  const store = await openStore(folder);
  onTestFinished(() => store.close());
  const database = openDatabase(join(folder, databaseFile), { readOnly: false, busyTimeoutMs: 1000 });
  onTestFinished(() => database.close());
  return { folder, store, database };
}

test('how much there is to remove is guessed by the sums, of an hour or a day in part what that is of it', async () => {
  const { database } = await place();
  const day = 20_000 * dayMs;
  const insert = database.prepare("INSERT INTO rollups VALUES ('a', ?, ?, 'g', 'm', ?, ?, 0, 1, 1, 0, '')");
  for (const instance of ['i', 'j']) {
    for (let back = 0; back < 20; back++) insert.run(grains.day, day - back * dayMs, instance, 500_000);
    for (let hour = 0; hour < 24; hour++) insert.run(grains.hour, day + hour * 3_600_000, instance, 20_000);
  }
  const of = (table: string, from: number, to: number, grain?: number): number =>
    guessedRows(database, { table, from, to, ...(grain === undefined ? {} : { grain }) });
  expect(of('requests', day - 12 * dayMs, day)).toBe(12_000_000);
  expect(of('requests', day - 12.5 * dayMs, day + dayMs / 4)).toBe(12_750_000);
  expect(of('requests', day + dayMs / 48, day + dayMs / 2)).toBe(460_000);
  expect(of('ledger', day, day + 3_600_000)).toBe(40_000);
  // Sums are never more than the requests that they are of.
  expect(of('rollups', day, day + dayMs, grains.minute)).toBe(2 * 24 * 60);
  expect(of('rollups', day, day + dayMs, grains.day)).toBe(2);
  expect(of('payloads', day, day + dayMs)).toBe(0);
  // A log without sums is taken for a large one, so that it goes fast enough.
  expect(of('requests', day - 40 * dayMs, day - 30 * dayMs)).toBe(10_000_000);
});

test('a log that a reader keeps from beginning anew is held up once it is long, and not before or after', async () => {
  const { folder, database } = await place();
  let now = 0;
  const isHeldUp = logIsHeldUp(database, () => (now += 1000));
  const reader = openDatabase(join(folder, databaseFile), { readOnly: true, busyTimeoutMs: 0 });
  onTestFinished(() => reader.close());
  database.exec('CREATE TABLE filling (x)');
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM sqlite_schema').get();
  const fill = (): void => database.exec('INSERT INTO filling VALUES (zeroblob(16777216))');
  fill();
  expect(isHeldUp()).toBe(false);
  for (let i = 0; i < 4; i++) fill();
  expect(statSync(join(folder, `${databaseFile}-wal`)).size).toBeGreaterThan(64 * 1024 * 1024);
  expect(isHeldUp()).toBe(true);
  reader.exec('COMMIT');
  expect(isHeldUp()).toBe(false);
});

test('it is told how far it is, of about how much, and ends where it is told to', async () => {
  const { store, database } = await place();
  const time = Date.now() - 100 * dayMs;
  const ids = Array.from({ length: 1000 }, (_, i) => newRequestId(time + i));
  await Promise.all(ids.map((id, i) => store.requestLog.append(requestRecord({ id, time: time + i }))));
  await store.settled();
  await store.rebuildSums();
  const told: (readonly [number, number])[] = [];
  let isStopped = false;
  const removed = await removeOld(database, { log: 90, payloads: 14, rollups: 730 }, Date.now(), {
    isStopped: () => isStopped,
    onProgress(done, total) {
      told.push([done, total]);
      isStopped = done >= 300;
    },
  });
  expect(told.map(([done]) => done)).toEqual([100, 200, 300]);
  expect(told.every(([done, total]) => total >= done)).toBe(true);
  expect(removed).toMatchObject({ requests: 300, rollups: 0 });
  expect(database.prepare('SELECT count(*) AS n FROM requests').get()).toEqual({ n: 700 });
});
