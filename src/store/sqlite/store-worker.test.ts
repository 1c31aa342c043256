import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { MizanError } from '../../core/errors.ts';
import { openDatabase } from './database.ts';
import { StoreWorker } from './store-worker.ts';

function database(file: string): ReturnType<typeof openDatabase> {
  const connection = openDatabase(file, { readOnly: false, busyTimeoutMs: 1000 });
  connection.exec("CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('سلام'), ('b');");
  return connection;
}

function workerOn(file: string): StoreWorker {
  const worker = new StoreWorker(file);
  onTestFinished(() => worker.close());
  return worker;
}

const failure = async (reading: Promise<unknown>): Promise<unknown> =>
  reading.then(
    () => 'it was read',
    (error: unknown) => error,
  );

describe('the reading thread', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-test-'));
  const file = join(folder, 'x.db');
  const worker = new StoreWorker(file);
  const connection = database(file);

  afterAll(async () => {
    await worker.close();
    connection.close();
    rmSync(folder, { recursive: true });
  });

  test('reads what was committed', async () => {
    expect(await worker.read('SELECT x FROM t WHERE x = ?', ['سلام'])).toEqual([{ x: 'سلام' }]);
    connection.exec("INSERT INTO t VALUES ('c')");
    expect(await worker.read('SELECT count(*) AS n FROM t', [])).toEqual([{ n: 3 }]);
  });

  test('answers each question with its own answer', async () => {
    const numbers = Array.from({ length: 50 }, (_, i) => i);
    const answers = await Promise.all(numbers.map((i) => worker.read('SELECT ? AS i', [i])));
    expect(answers).toEqual(numbers.map((i) => [{ i }]));
  });

  test('does not write', async () => {
    const rows = connection.prepare('SELECT * FROM t').all();
    expect(await failure(worker.read('DELETE FROM t', []))).toMatchObject({ code: 'internal' });
    expect(connection.prepare('SELECT * FROM t').all()).toEqual(rows);
  });

  test('goes on after a question that has no answer, and says of it nothing that is private', async () => {
    const error = await failure(worker.read('SELECT private FROM nowhere', []));
    expect(error).toBeInstanceOf(MizanError);
    expect(error).toMatchObject({ code: 'internal', message: 'The database could not be read.' });
    expect(await worker.read('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
  });

  test('moves the log into the database without getting in the way of writers', async () => {
    connection.exec('BEGIN IMMEDIATE');
    await expect(worker.checkpoint()).resolves.toBe(undefined);
    connection.exec('COMMIT');
  });
});

describe('a reading thread', () => {
  test('that was lost begins again, and whoever was waiting is told', async () => {
    const file = join(temporaryFolder(), 'x.db');
    const connection = database(file);
    onTestFinished(() => connection.close());
    const worker = workerOn(file);
    const started = once(process, 'worker');
    await worker.read('SELECT 1', []);
    const [thread] = (await started) as [Worker];
    const long = 'WITH RECURSIVE c(x) AS (SELECT ? UNION ALL SELECT x + 1 FROM c WHERE x < 3e6) SELECT count(*) FROM c';
    const lost = Promise.all([1, 2].map((i) => failure(worker.read(long, [i]))));
    void thread.terminate();
    expect(await lost).toMatchObject([{ code: 'internal' }, { code: 'internal' }]);
    expect(await worker.read('SELECT 2 AS two', [])).toEqual([{ two: 2 }]);
  });

  test('that can’t begin says so, and begins when it can', async () => {
    const folder = temporaryFolder();
    const elsewhere = join(folder, 'elsewhere.db');
    const connection = database(elsewhere);
    onTestFinished(() => connection.close());
    connection.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    const file = join(folder, 'x.db');
    const worker = workerOn(file);
    expect(await failure(worker.read('SELECT 1', []))).toMatchObject({ code: 'internal' });
    renameSync(elsewhere, file);
    expect(await worker.read('SELECT count(*) AS n FROM t', [])).toEqual([{ n: 2 }]);
  });

  test('does not start before it is needed', async () => {
    const worker = workerOn(join(temporaryFolder(), 'not', 'there.db'));
    await expect(worker.close()).resolves.toBe(undefined);
  });
});
