import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { apiKeyRecord } from '../../../test/support/api-key.ts';
import type { OwnPostgresServer } from '../../../test/support/postgres.ts';
import { ownPostgres } from '../../../test/support/postgres.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { SetupError } from '../../core/errors.ts';
import { newRequestId } from '../../core/ids.ts';
import type { RequestRecord } from '../../core/request-record.ts';
import type { Store } from '../index.ts';
import { migrateStore, openStore } from '../index.ts';

// The machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const root = mkdtempSync(join(tmpdir(), 'mizan-test-'));
let server: OwnPostgresServer;

beforeAll(async () => {
  server = await ownPostgres();
});

afterAll(async () => {
  await server.end();
  rmSync(root, { recursive: true, force: true });
});

const told: string[] = [];
const events = {
  failed: () => told.push('failed'),
  recovered: () => told.push('recovered'),
  dropped: () => told.push('dropped'),
  away: () => told.push('away'),
  back: () => told.push('back'),
};

async function until(isIt: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!isIt() && performance.now() < deadline) await wait(20);
  expect(isIt()).toBe(true);
}

async function refusal(opening: Promise<unknown>): Promise<string> {
  const error: unknown = await opening.then(
    () => 'it was opened',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SetupError);
  return (error as SetupError).message;
}

const key = apiKeyRecord({ id: 'known' });

const some = (count: number): RequestRecord[] =>
  Array.from({ length: count }, () => requestRecord({ id: newRequestId(Date.now()) }));

async function inDatabase(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows as Record<string, unknown>[];
}

describe('PostgreSQL that goes away', () => {
  test('costs no row and no known key: rows wait, and arrive once', async () => {
    const folder = join(root, 'away');
    const url = await server.newDatabase();
    let store: Store = await openStore({ folder, url, events });
    store.apiKeys.insert(key);
    const records = some(700);
    await Promise.all(records.slice(0, 100).map((record) => store.requestLog.append(record)));
    await store.settled();

    await server.stop();
    await Promise.all(records.slice(100, 400).map((record) => store.requestLog.append(record)));
    await until(() => store.state().trouble !== null && store.state().pending === 300);
    expect(told).toStrictEqual(['away']);
    expect(store.apiKeys.find('known')).toStrictEqual(key);
    expect(store.apiKeys.find('unknown')).toBe(undefined);
    await expect(store.requestHistory.list('acme', { limit: 1 })).rejects.toMatchObject({
      code: 'database_unavailable',
    });
    expect(store.apiKeys.revoke('known', 7)).toBe(true);
    await store.close();

    // A process that starts while it is away.
    store = await openStore({ folder, url, events });
    expect(store.apiKeys.find('known')?.revokedAt).toBe(7);
    await Promise.all(records.slice(400).map((record) => store.requestLog.append(record)));
    await until(() => store.state().trouble !== null && store.state().pending === 600);

    await server.start();
    await until(() => store.state().trouble === null && store.state().pending === 0);
    expect(await store.requestHistory.list('acme', { limit: 1000 })).toStrictEqual(records.toReversed());
    const [kept] = await inDatabase(url, "SELECT revoked_at FROM api_keys WHERE id = 'known'");
    expect(kept).toStrictEqual({ revoked_at: '7' });
    await store.close();
  });

  test('a row that it refuses is put aside, and those before and after it arrive', async () => {
    const folder = join(root, 'refused');
    const url = await server.newDatabase();
    const store = await openStore({ folder, url, events });
    const records = some(20);
    const broken = { ...records[7]!, status: 'not a number' as unknown as number };
    await Promise.all(records.map((record, i) => store.requestLog.append(i === 7 ? broken : record)));
    await store.settled();
    const arrived = await store.requestHistory.list('acme', { limit: 100 });
    expect(arrived).toStrictEqual(records.filter((_, i) => i !== 7).toReversed());
    await store.close();
    const local = new DatabaseSync(join(folder, 'outbox.db'));
    expect(local.prepare('SELECT row FROM refused').all()).toHaveLength(1);
    local.close();
  });

  test('and never was there keeps a process from starting', async () => {
    const message = await refusal(
      openStore({ folder: join(root, 'never'), url: 'postgres://u:hunter2@127.0.0.1:1/x', events }),
    );
    expect(message).toMatch(/The database at 127.0.0.1:1\/x can't be reached/);
    expect(message).not.toContain('hunter2');
  });
});

describe('the local database beside PostgreSQL', () => {
  test('that can’t be opened any more is put aside, and a process that serves goes on without it', async () => {
    const folder = join(root, 'unreadable');
    const url = await server.newDatabase();
    const first = await openStore({ folder, url, events });
    first.apiKeys.insert(key);
    await first.settled();
    await first.close();
    const file = join(folder, 'outbox.db');
    writeFileSync(file, readFileSync(file).fill(0x55, 0, 4096));
    // A command changes nothing about it.
    expect(await refusal(openStore({ folder, url }))).toMatch(/outbox\.db is damaged .*move it aside/);
    const words: string[] = [];
    const store = await openStore({ folder, url, events, unsound: (line) => words.push(line) });
    expect(words).toStrictEqual([
      expect.stringMatching(/was put aside as damaged-.*outbox\.db, .* in that file alone/),
    ]);
    expect(store.apiKeys.find('known')).toStrictEqual(key);
    await store.requestLog.append(some(1)[0]!);
    await store.settled();
    expect(await store.requestHistory.list('acme', { limit: 10 })).toHaveLength(1);
    await store.close();
    const [, aside = ''] = /as (damaged-\S+),/.exec(words[0]!) ?? [];
    expect(readFileSync(join(folder, aside)).subarray(0, 16)).toStrictEqual(Buffer.alloc(16, 0x55));
  });

  test('of which a page is damaged is found soon after the start, and said to be', async () => {
    const folder = join(root, 'page');
    const url = await server.newDatabase();
    await (await openStore({ folder, url, events })).close();
    const file = join(folder, 'outbox.db');
    const database = new DatabaseSync(file);
    const page = Number(
      database.prepare("SELECT rootpage AS n FROM sqlite_schema WHERE name = 'rollups'").get()?.['n'],
    );
    database.close();
    writeFileSync(file, readFileSync(file).fill(0xff, (page - 1) * 4096, page * 4096));
    const words: string[] = [];
    const store = await openStore({ folder, url, events, unsound: (line) => words.push(line) });
    await until(() => store.state().trouble !== null);
    expect(store.state().trouble).toMatch(/damaged: .*move it aside/);
    expect(words).toStrictEqual([expect.stringMatching(/outbox\.db is damaged/)]);
    await store.close();
  });
});

describe('migrating PostgreSQL', () => {
  test('at the same time is done by one process, and the others find it done', async () => {
    const url = await server.newDatabase();
    const done = await Promise.all([1, 2, 3].map(() => migrateStore({ folder: root, url })));
    expect(done.filter(({ done: steps }) => steps.length > 0)).toHaveLength(1);
    expect(await migrateStore({ folder: root, url })).toStrictEqual({ done: [] });
  });

  test('that fails leaves nothing behind, and can be done again', async () => {
    const url = await server.newDatabase();
    await inDatabase(url, 'CREATE TABLE payloads (mine text)');
    expect(await refusal(migrateStore({ folder: root, url }))).toMatch(/at 0006-payloads-and-rollups/);
    expect(await inDatabase(url, "SELECT to_regclass('requests') AS requests")).toStrictEqual([{ requests: null }]);
    await inDatabase(url, 'DROP TABLE payloads');
    expect((await migrateStore({ folder: root, url })).done).toContain('0006-payloads-and-rollups');
  });

  test('refuses a database that a newer version has been at', async () => {
    const url = await server.newDatabase();
    await migrateStore({ folder: root, url });
    await inDatabase(url, "INSERT INTO kysely_migration VALUES ('9999-from-the-future', '2030-01-01')");
    expect(await refusal(openStore({ folder: join(root, 'newer'), url, events }))).toMatch(
      /of a newer version of Mizan.*9999-from-the-future/,
    );
  });
});
