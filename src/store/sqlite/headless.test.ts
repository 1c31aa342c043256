import { copyFileSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test, vi } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { byOperator } from '../../core/audit.ts';
import { everyTenant } from '../../core/request-record.ts';
import { databaseFile } from './file.ts';
import { headless } from './headless.ts';
import { openStore } from './index.ts';
import { inspectDatabase } from './inspect.ts';

const events = { failed() {}, recovered() {}, dropped() {} };
const ends = ['', '-wal', '-shm'];

/** The files of a database that was made a moment ago and whose process was killed: next to all is in its log. */
async function young(): Promise<string> {
  const [folder, killed] = [temporaryFolder(), temporaryFolder()];
  const database = new DatabaseSync(join(folder, databaseFile));
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE early (n INTEGER); INSERT INTO early VALUES (7)');
  onTestFinished(() => database.close());
  for (const end of ends) copyFileSync(join(folder, databaseFile + end), join(killed, databaseFile + end));
  return killed;
}

test.each([
  ['is empty', (file: string) => truncateSync(file)],
  ['is gone', (file: string) => rmSync(file)],
])('a young database that %s after a crash of the machine comes back from its log', async (_, crash) => {
  const folder = await young();
  const file = join(folder, databaseFile);
  crash(file);
  expect(headless(folder)).toEqual([file]);
  expect(inspectDatabase(folder)).toEqual({ version: 'older', newestAt: null });
  await (await openStore(folder)).close();
  const database = new DatabaseSync(file);
  expect(database.prepare('SELECT n FROM early').all()).toEqual([{ n: 7 }]);
  database.close();
});

test('a log without a page in it, or one that is no log, is left to SQLite', async () => {
  for (const log of [Buffer.alloc(0), Buffer.alloc(8000), null]) {
    const folder = await young();
    const file = join(folder, databaseFile);
    rmSync(file);
    if (log === null) truncateSync(`${file}-wal`, 32);
    else writeFileSync(`${file}-wal`, log);
    expect(headless(folder)).toEqual([]);
    await (await openStore(folder)).close();
  }
});

test('what a first start makes is on the disk without the log', async () => {
  const [folder, crashed] = [temporaryFolder(), temporaryFolder()];
  const store = await openStore(folder, { events });
  onTestFinished(() => store.close());
  copyFileSync(join(folder, databaseFile), join(crashed, databaseFile));
  const database = new DatabaseSync(join(crashed, databaseFile));
  onTestFinished(() => database.close());
  expect(database.prepare('SELECT count(*) AS n FROM data_keys').get()).toEqual({ n: 1 });
});

test('a single row is moved from the log into the database within seconds', async () => {
  const folder = temporaryFolder();
  const store = await openStore(folder, { events });
  onTestFinished(() => store.close());
  await store.requestLog.append(requestRecord({ id: 'req_alone' }));
  const file = join(folder, databaseFile);
  await vi.waitFor(() => expect(readFileSync(file).includes('req_alone')).toBe(true), { timeout: 20_000 });
});

test('a database that is new where another one had entries in the audit log is refused with what to do', async () => {
  const folder = temporaryFolder();
  const file = join(folder, databaseFile);
  const store = await openStore(folder);
  store.audit.record(byOperator({ action: 'key.create', target: 'key:k', tenant: 'system' }));
  await store.close();
  const words = /mizan\.db has lost all that was in it.*mizan backup restore NAME/;
  for (const lose of [truncateSync, rmSync]) {
    lose(file);
    // As `mizan doctor` looks at it, too.
    expect(() => inspectDatabase(folder)).toThrow(words);
    await expect(openStore(folder)).rejects.toThrow(words);
  }
  for (const name of ['audit.head', 'audit.key']) rmSync(join(folder, name));
  const anew = await openStore(folder);
  expect(await anew.requestHistory.tenants()).toEqual([]);
  expect(await anew.auditHistory.list(everyTenant, { limit: 10 })).toEqual([]);
  await anew.close();
  expect(existsSync(file) && statSync(file).size).toBeGreaterThan(0);
});
