import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { newRequestId } from '../src/core/ids.ts';
import { openStore } from '../src/store/index.ts';
import type { Launched } from './support/command.ts';
import { launch, mizan } from './support/command.ts';
import { freePort } from './support/free-port.ts';
import { ask, post } from './support/http.ts';
import type { House } from './support/mizan.ts';
import { commonOptions, furnish } from './support/mizan.ts';
import type { OwnPostgresServer } from './support/postgres.ts';
import { ownPostgres } from './support/postgres.ts';
import { requestRecord } from './support/records.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 180_000 });

/** How long it may take until all is well again, in ms: that is the promise. */
const recoveryMs = 10_000;

interface Faced extends House {
  readonly process: Launched;
  readonly url: string;
  readonly metricsUrl: string;
  readonly token: string;
}

/** Runs Mizan on ports that its configuration names, so that `mizan doctor` finds it. */
async function start(given: object = {}, existing?: House): Promise<Faced> {
  const house =
    existing ??
    (await furnish({
      server: { port: await freePort(), metricsPort: await freePort() },
      providers: { sim: { kind: 'simulator' } },
      models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
      agents: { assistant: { model: 'words' } },
      ...given,
    }));
  const launched = launch(['start', ...commonOptions(house)], { env: { LOG_LEVEL: 'error' } });
  onTestFinished(async () => {
    launched.signal('SIGKILL');
    await launched.ended;
  });
  const [, url = '', metricsUrl = ''] = await launched.said(/listens on (\S+), with metrics on (\S+)\/metrics/);
  const [, token = ''] = await launched.said(/Bearer (\S+)"/);
  return { ...house, process: launched, url, metricsUrl, token };
}

const asked = async ({ url, token }: Faced): Promise<number> =>
  (await post(`${url}/ai-process`, token, { input: 'Say hello' })).status;

/** Where it says how it does, besides `/readyz`. */
async function signs(faced: Faced): Promise<{ readonly up: string | undefined; readonly doctor: string }> {
  const { text } = await ask(`${faced.metricsUrl}/metrics`);
  const { stdout } = await mizan(['doctor', ...commonOptions(faced)]);
  return {
    up: /^mizan_database_up (\d)/m.exec(text)?.[1],
    doctor: /^.* port \d+: .*Mizan.*$/m.exec(stdout)?.[0] ?? stdout,
  };
}

const unwell = {
  up: '0',
  doctor: expect.stringMatching(
    /^FAIL port \d+: in use by a running Mizan that is degraded: database unavailable/,
  ) as string,
};
const well = { up: '1', doctor: expect.stringMatching(/^ok {3}port \d+: in use by a running Mizan$/) as string };

async function becomes(faced: Faced, expected: unknown, timeout: number): Promise<void> {
  const look = async (): Promise<void> => expect((await ask(`${faced.url}/readyz`)).json).toEqual(expected);
  await vi.waitFor(look, { timeout, interval: 50 });
}

const isDegraded = (faced: Faced): Promise<void> =>
  becomes(
    faced,
    { status: 'ready', degraded: { database: 'unavailable', rows_pending: expect.any(Number) as number } },
    60_000,
  );

const isWell = (faced: Faced): Promise<void> => becomes(faced, { status: 'ready' }, recoveryMs);

describe('with SQLite', () => {
  test('a database that another process has locked is told of, and well again once it lets go', async () => {
    const faced = await start();
    const other = new DatabaseSync(join(faced.dataFolder, 'mizan.db'));
    onTestFinished(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    expect(await asked(faced)).toBe(200);
    await isDegraded(faced);
    expect(await signs(faced)).toEqual(unwell);
    expect(await asked(faced)).toBe(200);
    other.exec('ROLLBACK');
    await isWell(faced);
    expect(await signs(faced)).toEqual(well);
    expect(other.prepare('SELECT count(*) AS n FROM requests').get()).toEqual({ n: 2 });
  });

  test('a damaged page is found, told of with what to do, and a backup restores it', async () => {
    const house = await furnish({
      server: { port: await freePort(), metricsPort: await freePort() },
      providers: { sim: { kind: 'simulator' } },
      models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
      agents: { assistant: { model: 'words' } },
    });
    const store = await openStore({ folder: house.dataFolder, url: null });
    for (let i = 0; i < 3000; i++)
      void store.requestLog.append(requestRecord({ id: newRequestId(Date.now()), tenant: `t${i}` }));
    await store.settled();
    await store.close();
    const made = await mizan(['backup', 'create', ...commonOptions(house)]);
    expect(made.code).toBe(0);
    const file = join(house.dataFolder, 'mizan.db');
    const bytes = readFileSync(file);
    // The root of a table that is read by nobody before.
    const database = new DatabaseSync(file, { readOnly: true });
    const root = Number(
      database.prepare("SELECT rootpage AS n FROM sqlite_schema WHERE name = 'payloads'").get()?.['n'],
    );
    database.close();
    bytes.fill(0xff, (root - 1) * 4096, root * 4096);
    writeFileSync(file, bytes);

    const faced = await start({}, house);
    const [told] = await faced.process.said(/.*database_damaged.*/);
    expect(told).toMatch(/mizan backup restore NAME/);
    await isDegraded(faced);
    expect(await asked(faced)).toBe(200);
    expect(await signs(faced)).toEqual(unwell);
    faced.process.signal('SIGTERM');
    await faced.process.ended;
    const restored = await mizan(['backup', 'restore', basename(made.stdout.trim()), ...commonOptions(house)]);
    expect([restored.code, restored.stderr]).toEqual([0, expect.stringMatching(/before-restore/)]);
    const again = await start({}, house);
    expect(await asked(again)).toBe(200);
    expect(await signs(again)).toEqual(well);
  });
});

describe('with PostgreSQL', () => {
  let server: OwnPostgresServer;

  beforeAll(async () => {
    server = await ownPostgres();
  });

  afterAll(() => server.end());

  const countIn = async (url: string): Promise<number> => {
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ readonly n: string }>('SELECT count(*) AS n FROM requests');
    await client.end();
    return Number(rows[0]?.n);
  };

  test('whose connections are all taken, requests are answered, and rows arrive once there is one again', async () => {
    const url = await server.newDatabase();
    const ours = new URL(url);
    ours.username = 'somebody';
    const owner = new Client({ connectionString: url });
    await owner.connect();
    onTestFinished(() => owner.end());
    await owner.query('CREATE ROLE somebody LOGIN; ALTER SCHEMA public OWNER TO somebody');
    const faced = await start({ database: { url: ours.href } });
    expect(await asked(faced)).toBe(200);
    await owner.query('ALTER ROLE somebody CONNECTION LIMIT 0');
    await owner.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'somebody'");
    await isDegraded(faced);
    expect(await signs(faced)).toEqual(unwell);
    for (let i = 0; i < 10; i++) expect(await asked(faced)).toBe(200);
    await owner.query('ALTER ROLE somebody CONNECTION LIMIT -1');
    await isWell(faced);
    await vi.waitFor(async () => expect(await countIn(url)).toBe(11), { timeout: recoveryMs });
    expect(await signs(faced)).toEqual(well);
  });

  test('that is slow holds up no answer, and a question that takes too long is refused with what to do', async () => {
    const url = await server.newDatabase();
    const faced = await start({ database: { url } });
    expect(await asked(faced)).toBe(200);
    await vi.waitFor(async () => expect(await countIn(url)).toBe(1), { timeout: recoveryMs });
    const slow = new Client({ connectionString: url });
    await slow.connect();
    await slow.query('BEGIN; LOCK TABLE requests IN ACCESS EXCLUSIVE MODE');
    for (let i = 0; i < 10; i++) expect(await asked(faced)).toBe(200);
    const listed = await ask(`${faced.url}/api/requests`, { token: faced.token });
    expect([listed.status, listed.json]).toMatchObject([400, { error: { code: 'query_too_costly' } }]);
    expect((listed.json as { error: { message: string } }).error.message).toMatch(/Narrow it with from and to/);
    await isDegraded(faced);
    const { json } = await ask(`${faced.url}/readyz`);
    expect(json).toMatchObject({ degraded: { rows_pending: 10 } });
    expect(await asked(faced)).toBe(200);
    await slow.query('ROLLBACK');
    await slow.end();
    await vi.waitFor(async () => expect(await countIn(url)).toBe(12), { timeout: recoveryMs });
    await isWell(faced);
  });
});
