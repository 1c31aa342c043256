import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import type { RedisServer } from '../../test/support/redis.ts';
import { startRedis } from '../../test/support/redis.ts';
import type { SharedClaim, SharedVerdict } from '../core/limit.ts';
import { Secret } from '../core/secret.ts';
import { RedisConnection } from './connection.ts';
import { RedisLimits } from './limits.ts';
import { nodeName } from './node-name.ts';

let server: RedisServer;

beforeEach(async () => {
  server = await startRedis();
});

afterEach(() => server.end());

/** A machine that has said that it is there. */
async function machine(node: string): Promise<RedisLimits> {
  const redis = await RedisConnection.open(new Secret(server.url), { away() {}, back() {}, refused() {} });
  onTestFinished(() => redis.close());
  while (redis.trouble !== null) await new Promise((resolve) => setImmediate(resolve));
  const limits = new RedisLimits(redis, node);
  await limits.report({ counts: [], missed: [] }, () => {});
  return limits;
}

const rpm = (limit: number, amount = 1): SharedClaim => ({
  id: 'limits/a',
  kind: 'requests',
  limit,
  amount,
  start: 0,
  paid: 0,
});
const inFlight = (limit: number): SharedClaim => ({
  id: 'limits/a',
  kind: 'inFlight',
  limit,
  amount: 1,
  start: 0,
  paid: 0,
});
const money = (limit: number, amount: number): SharedClaim => ({
  id: 'budgets/a',
  kind: 'money',
  limit,
  amount,
  start: 7,
  paid: 0,
});

async function taken(limits: RedisLimits, ...claims: SharedClaim[]): Promise<SharedVerdict> {
  const verdict = await limits.take(claims, () => {});
  if (verdict === null || verdict === 'unknown') throw new Error(`Redis said ${String(verdict)}`);
  return verdict;
}

describe('limits in Redis', () => {
  test('count for all machines, all claims of a request or none', async () => {
    const [a, b] = [await machine('a'), await machine('b')];
    expect(await taken(a, rpm(2), inFlight(9))).toMatchObject({ machines: 2, used: [0, 0], refused: [] });
    expect(await taken(b, rpm(2), inFlight(9))).toMatchObject({ used: [1, 1], refused: [] });
    const third = await taken(a, inFlight(9), rpm(2));
    expect(third).toMatchObject({ used: [2, 2], refused: [{ index: 1 }] });
    expect(third.refused[0]!.waitMs).toBeGreaterThan(55_000);
    expect(third.refused[0]!.waitMs).toBeLessThanOrEqual(61_000);
    expect((await taken(b, inFlight(9))).used).toEqual([2]);
  });

  test('let exactly as many in as fit, of many that come at once to several machines', async () => {
    const machines = await Promise.all(['a', 'b', 'c'].map(machine));
    const verdicts = await Promise.all(
      Array.from({ length: 300 }, (_, i) => taken(machines[i % 3]!, money(30_000, 3000), rpm(1000))),
    );
    expect(verdicts.filter(({ refused }) => refused.length === 0).length).toBe(10);
    expect((await taken(machines[0]!, money(1, 0))).used).toEqual([30_000]);
    expect((await taken(machines[0]!, rpm(1000))).used).toEqual([10]);
  });

  test('put what was paid in the place of what was held, and give back what was not used', async () => {
    const [a, b] = [await machine('a'), await machine('b')];
    const { second } = await taken(a, money(100, 60), inFlight(5), { ...rpm(1000, 500), kind: 'tokens' });
    a.change([
      { id: 'budgets/a', kind: 'money', start: 7, second, back: 60, paid: 25 },
      { id: 'limits/a', kind: 'inFlight', start: 0, second, back: 1, paid: 0 },
      { id: 'limits/a', kind: 'tokens', start: 0, second, back: 480, paid: 0 },
    ]);
    const claims = [money(100, 0), inFlight(5), { ...rpm(1000, 1), kind: 'tokens' as const }];
    await taken(a, rpm(9));
    expect((await taken(b, ...claims)).used).toEqual([25, 0, 20]);
  });

  test('forget what a machine held that says nothing any more, and not what it paid', async () => {
    const [a, b] = [await machine('a'), await machine('b')];
    await a.report(
      {
        counts: [
          { id: 'budgets/a', kind: 'money', start: 7, now: 50, paid: 30 },
          { id: 'limits/a', kind: 'inFlight', start: 0, now: 4, paid: 0 },
        ],
        missed: [],
      },
      () => {},
    );
    expect((await taken(b, money(100, 0), inFlight(9))).used).toEqual([80, 4]);
    // Its time is over.
    const client = await RedisConnection.open(new Secret(server.url), { away() {}, back() {}, refused() {} });
    onTestFinished(() => client.close());
    while (client.trouble !== null) await new Promise((resolve) => setImmediate(resolve));
    await client.ask(async (redis) => {
      const runs = await redis.hkeys('mizan:{limits}:machines');
      for (const run of runs) await redis.hset('mizan:{limits}:machines', run, 1);
    });
    expect(await b.take([money(100, 0)], () => {})).toMatchObject({ machines: 1, used: [30] });
    expect(await a.take([money(100, 0)], () => {})).toBe('unknown');
  });

  test('ask a machine that they do not know for what it has counted, and take it once', async () => {
    const a = await machine('a');
    await taken(a, money(100, 40), rpm(10, 4));
    await server.stop();
    await server.start();
    let verdict = await a.take([money(100, 0)], () => {});
    while (verdict === null) {
      await new Promise((resolve) => setImmediate(resolve));
      verdict = await a.take([money(100, 0)], () => {});
    }
    expect(verdict).toBe('unknown');
    const report = {
      counts: [{ id: 'budgets/a', kind: 'money' as const, start: 7, now: 40, paid: 10 }],
      missed: [{ id: 'limits/a', kind: 'requests' as const, age: 3, amount: 4 }],
    };
    expect(await a.report(report, () => {})).toMatchObject({ isNew: true, used: [50] });
    expect(await a.report({ ...report, missed: [] }, () => {})).toMatchObject({ isNew: false, used: [50] });
    expect((await taken(a, money(100, 0), rpm(10))).used).toEqual([50, 4]);
  });
});

test('a data folder keeps its name', () => {
  const folder = temporaryFolder();
  expect(nodeName(folder)).toMatch(/^[0-9a-f]{16}$/);
  expect(nodeName(folder)).toBe(nodeName(folder));
  expect(nodeName(temporaryFolder())).not.toBe(nodeName(folder));
});
