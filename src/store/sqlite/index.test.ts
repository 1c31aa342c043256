import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { OtherProcess } from '../../../test/support/processes.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { SetupError } from '../../core/errors.ts';
import type { RequestRecord } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';
import type { RequestLogEvents } from './request-log.ts';

const silent: RequestLogEvents = { failed() {}, recovered() {}, dropped() {} };

async function refusal(folder: string): Promise<string> {
  const error: unknown = await openStore(folder).then(
    (store) => store.close(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SetupError);
  const { message } = error as SetupError;
  expect(message).not.toContain('\n');
  return message;
}

function direct(folder: string): DatabaseSync {
  const database = new DatabaseSync(join(folder, databaseFile));
  onTestFinished(() => {
    if (database.isOpen) database.close();
  });
  return database;
}

describe('a store', () => {
  test('is made where there is none, for its owner only', async () => {
    const folder = join(temporaryFolder(), 'deep', 'data');
    await (await openStore(folder)).close();
    expect(existsSync(join(folder, databaseFile))).toBe(true);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test('keeps what it has when it is opened again', async () => {
    const folder = temporaryFolder();
    const first = await openStore(folder, { events: silent });
    await first.requestLog.append(requestRecord());
    await first.close();
    const second = await openStore(folder);
    expect(await second.requestHistory.list(everyTenant, { limit: 10 })).toStrictEqual([requestRecord()]);
    await second.close();
  });

  test('gives back every field of a record as it was', async () => {
    const store = await openStore(temporaryFolder(), { events: silent });
    const records: RequestRecord[] = [
      requestRecord({ id: 'req_3', stream: true, firstTokenMs: 12.5, cache: 'hit', principal: 'سلام 🙂' }),
      requestRecord({ id: 'req_2', inputTokens: 0, outputTokens: 0, costUsd: 0, gatewayMs: 0 }),
      requestRecord({
        id: 'req_1',
        agent: null,
        model: null,
        instance: null,
        provider: null,
        status: 400,
        errorCode: 'invalid_json',
        attempts: 0,
        inputTokens: null,
        outputTokens: null,
        costUsd: null,
        usageSource: 'none',
        finishReason: null,
      }),
      requestRecord({ id: 'req_0', inputTokens: Number.MAX_SAFE_INTEGER, costUsd: 1e-9, time: 8.64e15 }),
    ];
    await Promise.all(records.map((record) => store.requestLog.append(record)));
    expect(await store.requestHistory.list('acme', { limit: 10 })).toStrictEqual(records);
    await store.close();
  });

  test('commits what still waits when it is closed', async () => {
    const folder = temporaryFolder();
    const store = await openStore(folder, { events: silent });
    const appended = store.requestLog.append(requestRecord());
    await store.close();
    await appended;
    expect(direct(folder).prepare('SELECT count(*) AS n FROM requests').get()).toMatchObject({ n: 1 });
  });

  test('that is closed leaves nothing but its database, the master key and a lock that nobody holds', async () => {
    const folder = temporaryFolder();
    const store = await openStore(folder, { events: silent });
    await store.requestLog.append(requestRecord());
    await store.requestHistory.list(everyTenant, { limit: 1 });
    await store.close();
    expect(readdirSync(folder)).toStrictEqual(['master.key', databaseFile, 'mizan.lock']);
  });

  test('whose database is locked to the end is closed all the same, and says what it gave up', async () => {
    const folder = temporaryFolder();
    const told: string[] = [];
    const store = await openStore(folder, {
      events: {
        failed: () => told.push('failed'),
        recovered: () => told.push('recovered'),
        dropped: ({ id }) => told.push(id),
      },
    });
    const locker = direct(folder);
    locker.exec('BEGIN IMMEDIATE');
    const appended = store.requestLog.append(requestRecord({ id: 'req_lost' }));
    await expect(store.close()).rejects.toThrow('1 row of the request log could not be written until the end.');
    await appended;
    expect(told).toStrictEqual(['failed', 'req_lost']);
    locker.exec('ROLLBACK');
    await (await openStore(folder)).close();
  });
});

describe('migrating', () => {
  test('again changes nothing', async () => {
    const folder = temporaryFolder();
    await (await openStore(folder)).close();
    const schema = 'SELECT type, name, sql FROM sqlite_schema ORDER BY name';
    const before = direct(folder).prepare(schema).all();
    await (await openStore(folder)).close();
    expect(direct(folder).prepare(schema).all()).toEqual(before);
    expect(before.map(({ name }) => name)).toEqual(expect.arrayContaining(['requests', 'api_keys', 'attempts']));
  });

  test('has nothing to wait for where another process writes', async () => {
    const folder = temporaryFolder();
    await (await openStore(folder)).close();
    direct(folder).exec('BEGIN IMMEDIATE');
    await expect(openStore(folder).then((store) => store.close())).resolves.toBe(undefined);
  });

  test('at the same time is done by one process, and the others find it done', async () => {
    const folder = temporaryFolder();
    const source = new URL('index.ts', import.meta.url).href;
    const others = Array.from(
      { length: 3 },
      () =>
        new OtherProcess(`
          const { openStore } = await import(${JSON.stringify(source)});
          say('ready');
          const store = await openStore(await told()).catch((error) => say(error.message) ?? process.exit());
          await store.close();
          say('opened');
        `),
    );
    await Promise.all(others.map((other) => other.said()));
    for (const other of others) other.tell(folder);
    expect(await Promise.all(others.map((other) => other.said()))).toStrictEqual(others.map(() => 'opened'));
  });

  test('that was broken off left nothing behind', async () => {
    const folder = temporaryFolder();
    const database = direct(folder);
    database.exec('CREATE TABLE api_keys (mine TEXT)');
    expect(await refusal(folder)).toMatch(/at 0001-requests-and-keys: table "api_keys" already exists/);
    expect(database.prepare("SELECT name FROM sqlite_schema WHERE name = 'requests'").get()).toBe(undefined);
    database.exec('DROP TABLE api_keys');
    await expect(openStore(folder).then((store) => store.close())).resolves.toBe(undefined);
  });
});

describe('what cannot be a store is refused in one line', () => {
  test('a database that a newer version has been at', async () => {
    const folder = temporaryFolder();
    await (await openStore(folder)).close();
    direct(folder).exec("INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-from-the-future', '2030-01-01')");
    expect(await refusal(folder)).toMatch(/of a newer version of Mizan.*9999-from-the-future/);
  });

  test('a folder that is a file', async () => {
    const file = join(temporaryFolder(), 'data');
    writeFileSync(file, 'x');
    expect(await refusal(file)).toContain(`The data folder ${file} can't be used`);
    expect(await refusal(join(file, 'deeper'))).toContain("can't be used");
  });

  test('a folder in the place of the database', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, databaseFile));
    expect(await refusal(folder)).toContain("can't be used");
  });

  test('a file that is no database', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, databaseFile), 'x'.repeat(8192));
    expect(await refusal(folder)).toMatch(/mizan\.db is damaged .*not a database.*mizan backup restore NAME/);
  });

  test('a database that was cut short', async () => {
    const folder = temporaryFolder();
    const store = await openStore(folder, { events: silent });
    await Promise.all(
      Array.from({ length: 500 }, (_, i) => store.requestLog.append(requestRecord({ id: `req_${i}` }))),
    );
    await store.close();
    const database = join(folder, databaseFile);
    const whole = statSync(database).size;
    writeFileSync(database, Buffer.alloc(whole - 4096, 0x61));
    expect(await refusal(folder)).toMatch(/(?:not a database|malformed).*mizan backup restore NAME/);
  });
});
