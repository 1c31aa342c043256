import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { PostgresServer } from '../../../test/support/postgres.ts';
import { anyPostgres } from '../../../test/support/postgres.ts';
import type { RedisServer } from '../../../test/support/redis.ts';
import { startRedis } from '../../../test/support/redis.ts';
import { MizanError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { openStore } from '../../store/index.ts';
import type { OpenJobs } from '../scheduler.suite.ts';
import { BullmqDriver } from './bullmq.ts';
import type { MakeDriver, Work } from './driver.suite.ts';
import { Crew, driverContract, faultsOf, historyOf } from './driver.suite.ts';
import { LocalDriver } from './local.ts';

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const folders: string[] = [];
let postgres: PostgresServer;
let redis: RedisServer;
let places = 0;

beforeAll(async () => {
  postgres = await anyPostgres();
  redis = await startRedis();
});

afterAll(async () => {
  await postgres.end();
  await redis.end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-drivers-'));
  folders.push(folder);
  return folder;
}

function sqlite() {
  const folder = newFolder();
  return { open: () => openStore({ folder, url: null, events: silent }) };
}

async function onPostgres() {
  const url = await postgres.newDatabase();
  const folder = newFolder();
  return { open: () => openStore({ folder, url, events: silent }) };
}

const local: MakeDriver = (engine, given) => new LocalDriver(engine, given);

/** So long that nothing is begun without having been brought. */
const forEver = 3_600_000;

/** On a queue of its own. */
function bullmq(
  server: RedisServer,
  {
    told = () => undefined,
    ...settings
  }: { readonly told?: (event: string) => void; readonly patienceMs?: number } = {},
): MakeDriver {
  const place = { url: new Secret(server.url), name: `test-${++places}` };
  const events = { away: () => told('away'), back: () => told('back') };
  return (engine, given) => new BullmqDriver(engine, { ...given, ...settings, place, events });
}

driverContract('local on SQLite', async () => ({ ...sqlite(), make: local }));
driverContract('local on PostgreSQL', async () => ({ ...(await onPostgres()), make: local }));
driverContract('bullmq on SQLite', async () => ({ ...sqlite(), make: bullmq(redis) }));
driverContract('bullmq on PostgreSQL', async () => ({ ...(await onPostgres()), make: bullmq(redis) }));
// Whatever the queue doesn't bring is waited for in vain.
driverContract('bullmq, by the queue alone', async () => ({
  ...sqlite(),
  make: bullmq(redis, { patienceMs: forEver }),
}));

describe('bullmq', () => {
  let store: OpenJobs;
  let server: RedisServer;

  beforeAll(async () => {
    store = await sqlite().open();
    server = await startRedis();
  });

  afterAll(async () => {
    await store.close();
    await server.end();
  });

  /** So many more successes of the crew. */
  const more = (crew: Crew, count: number): Promise<void> => {
    const before = crew.count('succeeded');
    return crew.until(() => crew.count('succeeded') >= before + count);
  };

  test('loses no due time and doubles none while Redis is gone, silent, or has forgotten everything', async () => {
    const crew = new Crew();
    const events: string[] = [];
    const make = bullmq(server, { told: (event) => events.push(event) });
    const jobs = [await crew.job(store), await crew.job(store)];
    const drivers = [crew.driver(store, make), crew.driver(store, make)];
    for (const driver of drivers) await driver.start();
    await more(crew, 4);
    const client = new Redis(server.url);
    await client.flushall();
    client.disconnect();
    await more(crew, 6);
    server.stall();
    await more(crew, 6);
    server.resume();
    await more(crew, 4);
    await server.stop();
    await more(crew, 6);
    await server.start();
    await more(crew, 6);
    await crew.drain(store, jobs);
    await Promise.all(drivers.map((driver) => driver.stop()));
    for (const job of jobs) expect(await faultsOf(crew, store, job)).toEqual([]);
    expect(events).toContain('away');
    expect(events).toContain('back');
  }, 60_000);

  test('uses Redis again once it answers, on the connection that it had', async () => {
    const crew = new Crew();
    const [away, back] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const told = (event: string): void => (event === 'away' ? away : back).resolve();
    const job = await crew.job(store);
    const driver = crew.driver(store, bullmq(server, { told }));
    await driver.start();
    await more(crew, 2);
    server.stall();
    await away.promise;
    server.resume();
    await back.promise;
    await more(crew, 2);
    await crew.drain(store, [job]);
    await driver.stop();
    expect(await faultsOf(crew, store, job)).toEqual([]);
  }, 60_000);

  test('starts and stops where Redis never was', async () => {
    const crew = new Crew();
    await server.stop();
    const job = await crew.job(store);
    const driver = crew.driver(store, bullmq(server));
    await driver.start();
    await more(crew, 2);
    await crew.drain(store, [job]);
    await driver.stop();
    expect(await faultsOf(crew, store, job)).toEqual([]);
    await server.start();
  });

  test('can be moved to and from, also while runs are due', async () => {
    const crew = new Crew();
    const there = bullmq(server);
    const jobs = [await crew.job(store), await crew.job(store)];
    for (const [i, make] of [local, there, local, there].entries()) {
      const driver = crew.driver(store, make);
      await driver.start();
      await more(crew, 4);
      if (i === 3) await crew.drain(store, jobs);
      await driver.stop();
    }
    for (const job of jobs) expect(await faultsOf(crew, store, job)).toEqual([]);
  });

  test('can be moved to and from while runs go on, wait for another, and are to be tried again', async () => {
    const crew = new Crew();
    const there = bullmq(server);
    const fails: Work = async ({ run }) => {
      if (run.attempts < 3) throw new MizanError('upstream_error', 'Nobody is there.');
    };
    let isHeld = true;
    const held: Work = ({ signal }) =>
      new Promise((resolve, reject) => {
        if (!isHeld) resolve(null);
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const at = crew.clock.now() + 500;
    const retried = [1500, 3000, 6000].map((retryMs) =>
      crew.job(store, { schedule: { kind: 'at', at }, retries: 3, retryMs }),
    );
    const jobs = await Promise.all(retried);
    const busy = await crew.job(store, { overlap: 'queue' });
    const work: Work = (context) => (context.job.name === busy.name ? held(context) : fails(context));
    for (const make of [local, there, local]) {
      const driver = crew.driver(store, make, work);
      await driver.start();
      // One is held, another waits for it, and those that failed come back while there is no driver, or the other one.
      const before = [crew.count('retrying'), crew.count('started') + crew.count('skipped')];
      await crew.until(
        () => crew.count('retrying') > before[0]! && crew.count('skipped') + crew.count('started') > before[1]!,
      );
      await driver.stop();
    }
    isHeld = false;
    const last = crew.driver(store, there, work);
    await last.start();
    await crew.until(() => crew.count('succeeded') >= jobs.length + 2);
    await crew.drain(store, [...jobs, busy]);
    await last.stop();
    for (const job of jobs) expect(await historyOf(store, job)).toMatchObject([{ status: 'succeeded', attempts: 3 }]);
    const runs = await historyOf(store, busy);
    expect(new Set(runs.map(({ status }) => status))).toEqual(new Set(['succeeded', 'skipped']));
    const dues = runs.map(({ due }) => due);
    expect(dues).toEqual(dues.map((_, i) => dues[0]! + i * 1000));
  }, 60_000);

  test('gets nothing of another database on the same Redis', async () => {
    const crew = new Crew();
    const elsewhere = await sqlite().open();
    onTestFinished(() => elsewhere.close());
    const [job, theirs] = [await crew.job(store), await crew.job(elsewhere)];
    const drivers = [crew.driver(store, bullmq(server)), crew.driver(elsewhere, bullmq(server))];
    for (const driver of drivers) await driver.start();
    await more(crew, 4);
    await Promise.all([crew.drain(store, [job]), crew.drain(elsewhere, [theirs])]);
    await Promise.all(drivers.map((driver) => driver.stop()));
    expect(await faultsOf(crew, store, job)).toEqual([]);
    expect(await faultsOf(crew, elsewhere, theirs)).toEqual([]);
  });
});
