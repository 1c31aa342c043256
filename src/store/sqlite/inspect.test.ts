import { DatabaseSync } from 'node:sqlite';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { newRequestId } from '../../core/ids.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';
import { inspectDatabase } from './inspect.ts';

const events = { failed() {}, recovered() {}, dropped() {} };

/** Everything in a folder, to the byte. */
function contents(folder: string): Map<string, string> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')]));
}

test('a folder without a database stays without one', () => {
  const folder = temporaryFolder();
  expect(inspectDatabase(folder)).toBe(null);
  expect(inspectDatabase(join(folder, 'none'))).toBe(null);
  expect(readdirSync(folder)).toEqual([]);
});

test('the newest request of all tenants is found, and not a byte is changed', async () => {
  const folder = temporaryFolder();
  const store = await openStore(folder);
  expect(inspectDatabase(folder)).toEqual({ version: 'current', newestAt: null });
  for (const [i, tenant] of ['b', 'a', 'c'].entries()) {
    for (const time of [i, 10 + i, 20 + i]) {
      await store.requestLog.append(requestRecord({ id: newRequestId(time), tenant, time }));
    }
  }
  await store.close();
  const before = contents(folder);
  expect(inspectDatabase(folder)).toEqual({ version: 'current', newestAt: 22 });
  expect(contents(folder)).toEqual(before);
});

test('what another process has only in its log is found', async () => {
  const folder = temporaryFolder();
  const store = await openStore(folder, { events });
  await store.requestLog.append(requestRecord({ time: 7 }));
  expect(inspectDatabase(folder)).toEqual({ version: 'current', newestAt: 7 });
  await store.close();
});

test('older and newer ones are told apart, and left as they are', async () => {
  const folder = temporaryFolder();
  await (await openStore(folder)).close();
  const change = (sql: string): void => {
    const database = new DatabaseSync(join(folder, databaseFile));
    database.exec(sql);
    database.close();
  };
  change("DELETE FROM kysely_migration WHERE name LIKE '0002%'");
  expect(inspectDatabase(folder)).toMatchObject({ version: 'older' });
  change("INSERT INTO kysely_migration VALUES ('9999-from-the-future', '2030')");
  expect(inspectDatabase(folder)).toMatchObject({ version: 'newer' });
});

test('what is no database is refused', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, databaseFile), 'This is a letter, and a rather long one at that. '.repeat(100));
  expect(() => inspectDatabase(folder)).toThrow(/not a database/);
});
