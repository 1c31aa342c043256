import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { MizanError } from '../../core/errors.ts';
import { seededRandom } from '../../core/random.ts';
import type { Provider } from '../../core/upstream.ts';
import { defaultHealth } from './health.ts';
import type { Instance, Needs } from './model.ts';
import { plainInstance } from './models.ts';
import type { InstanceSettings, Lease, LeaseResult, Unavailable } from './pool.ts';
import { Pool } from './pool.ts';
import { roundRobin } from './strategies/round-robin.ts';

const provider: Provider = {
  name: 'p',
  continuation: 'prefill',
  chat: () => expect.unreachable(),
  priceOf: () => null,
  lengthsOf: () => null,
  close: async () => {},
};

const timeouts = { connectMs: 1, firstByteMs: 1, firstTokenMs: 1, idleMs: 1, totalMs: 1 };

const plain: Needs = {
  kind: 'stream',
  vision: false,
  tools: false,
  jsonSchema: false,
  inputTokens: 10,
  maxOutputTokens: null,
  images: 0,
  choices: 1,
  affinity: '',
};

const nobody: ReadonlySet<Instance> = new Set();
const answered: LeaseResult = { failure: null, latencyMs: 5, tokens: 20, quota: null };
const refused: LeaseResult = {
  failure: { kind: 'network', message: 'refused' },
  latencyMs: null,
  tokens: null,
  quota: null,
};

function poolOf(
  instances: readonly (Partial<InstanceSettings> & { readonly id: string })[],
  queue = { max: 2, waitMs: 50 },
): { pool: Pool; clock: { at: number } } {
  const clock = { at: 1000 };
  const model = {
    id: 'm',
    label: 'm',
    strategyName: 'round-robin' as const,
    strategy: roundRobin(),
    timeouts,
    instances: instances.map((one) => ({ ...plainInstance, provider, upstreamModel: 'x', price: null, ...one })),
  };
  const time = { now: () => clock.at, monotonic: () => clock.at };
  return { pool: new Pool(model, { health: defaultHealth, queue }, { clock: time, random: seededRandom(1) }), clock };
}

function leased(found: Lease | Unavailable): Lease {
  if ('exclusions' in found) throw new Error(`nobody: ${found.exclusions.map(({ reason }) => reason).join()}`);
  return found;
}

function unavailable(found: Lease | Unavailable): Unavailable {
  if (!('exclusions' in found)) throw new Error(`somebody: ${found.instance.id}`);
  return found;
}

const reasons = (found: Lease | Unavailable): string[] =>
  'exclusions' in found ? found.exclusions.map(({ reason }) => reason) : [];

const someone = { tenant: 'acme', priority: 'normal', signal: new AbortController().signal } as const;

test('an instance that fails is left out and the others go on', () => {
  const { pool } = poolOf([{ id: 'a' }, { id: 'b' }]);
  for (let i = 0; i < 6; i++) {
    const lease = leased(pool.acquire(plain, nobody));
    lease.release(lease.instance.id === 'a' ? refused : answered);
  }
  const asked = Array.from({ length: 4 }, () => leased(pool.acquire(plain, nobody)).instance.id);
  expect(asked).toEqual(['b', 'b', 'b', 'b']);
});

test('never more than one probe at a time', () => {
  const { pool, clock } = poolOf([{ id: 'a' }]);
  for (let i = 0; i < 3; i++) leased(pool.acquire(plain, nobody)).release(refused);
  expect(reasons(pool.acquire(plain, nobody))).toEqual(['ejected']);
  clock.at += 1000;
  const probe = leased(pool.acquire(plain, nobody));
  expect(probe.isProbe).toBe(true);
  expect(reasons(pool.acquire(plain, nobody))).toEqual(['probing']);
  probe.release(answered);
  expect(leased(pool.acquire(plain, nobody)).isProbe).toBe(false);
});

test('never more in flight than allowed, and a place that becomes free goes to the one who waits longest', async () => {
  const { pool } = poolOf([{ id: 'a', maxInFlight: 1 }], { max: 2, waitMs: 10_000 });
  const first = leased(await pool.acquireInTurn(plain, nobody, someone));
  const order: string[] = [];
  const wait = async (name: string): Promise<Lease> => {
    const lease = leased(await pool.acquireInTurn(plain, nobody, someone));
    order.push(name);
    expect(lease.instance.figures.inFlight).toBe(1);
    return lease;
  };
  const second = wait('second');
  const third = wait('third');
  expect(pool.waiting).toBe(2);
  await expect(pool.acquireInTurn(plain, nobody, someone)).rejects.toMatchObject({ code: 'overloaded', status: 503 });
  first.release(answered);
  (await second).release(answered);
  (await third).release(answered);
  expect(order).toEqual(['second', 'third']);
  expect(pool.waiting).toBe(0);
});

test('a place that becomes free is handed over at once: nobody who comes in the same turn has it first', async () => {
  const { pool } = poolOf([{ id: 'a', maxInFlight: 1 }], { max: 5, waitMs: 10_000 });
  const first = leased(pool.acquire(plain, nobody));
  const waiting = pool.acquireInTurn(plain, nobody, someone);
  first.release(answered);
  expect(reasons(pool.acquire(plain, nobody))).toEqual(['max_in_flight']);
  leased(await waiting).release(answered);
});

test('who comes when time alone has made room finds those served who waited', async () => {
  const { pool, clock } = poolOf(
    [
      { id: 'busy', maxInFlight: 1 },
      { id: 'other', maxInFlight: 1 },
    ],
    { max: 5, waitMs: 10_000 },
  );
  const leases = [leased(pool.acquire(plain, nobody)), leased(pool.acquire(plain, nobody))];
  leases
    .find(({ instance }) => instance.id === 'other')
    ?.release({
      ...refused,
      failure: { kind: 'rate_limited', message: '', retryAfterMs: 5000 },
    });
  const waiting = pool.acquireInTurn(plain, nobody, someone);
  clock.at += 5000;
  // It is not this one that gets the probe.
  expect(reasons(pool.acquire(plain, nobody))).toContain('max_in_flight');
  expect(leased(await waiting).instance.id).toBe('other');
});

test('tenants take turns, and a burst has its own to blame where the line is full', async () => {
  const { pool } = poolOf([{ id: 'a', maxInFlight: 1 }], { max: 4, waitMs: 10_000 });
  const first = leased(pool.acquire(plain, nobody));
  const order: string[] = [];
  const wait = async (tenant: string): Promise<void> => {
    try {
      const lease = leased(await pool.acquireInTurn(plain, nobody, { ...someone, tenant }));
      order.push(tenant);
      lease.release(answered);
    } catch (error) {
      order.push(`${tenant} is refused: ${(error as MizanError).code}`);
    }
  };
  const all = [...Array.from({ length: 5 }, () => wait('burst')), wait('other')];
  expect(pool.waiting).toBe(4);
  first.release(answered);
  await Promise.all(all);
  const isRefused = (each: string): boolean => each === 'burst is refused: overloaded';
  expect(order.filter(isRefused).length).toBe(2);
  expect(order.filter((each) => !isRefused(each))).toEqual(['burst', 'other', 'burst', 'burst']);
});

describe('who waits', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** `busy` has its hands full; the other one is at this test's disposal. */
  function besideABusyOne(other: Partial<InstanceSettings>) {
    const made = poolOf(
      [
        { id: 'busy', maxInFlight: 1 },
        { id: 'other', ...other },
      ],
      { max: 5, waitMs: 3_600_000 },
    );
    const leases = [1, 2].map(() => leased(made.pool.acquire(plain, nobody)));
    const of = (id: string): Lease => leases.find(({ instance }) => instance.id === id)!;
    const pass = async (ms: number): Promise<void> => {
      made.clock.at += ms;
      await vi.advanceTimersByTimeAsync(ms);
    };
    return { pool: made.pool, busy: of('busy'), other: of('other'), pass };
  }

  const wait = async (pool: Pool): Promise<Lease> => leased(await pool.acquireInTurn(plain, nobody, someone));

  test.each([
    ['a pause', { kind: 'rate_limited', message: '', retryAfterMs: 90_000 } as const, 90_000],
    ['a lock', { kind: 'unauthorized', message: '' } as const, 600_000],
  ])('is woken when %s ends, as its probe, and the others when that is answered', async (_name, failure, ms) => {
    const { pool, other, pass } = besideABusyOne({});
    other.release({ ...answered, failure });
    const [first, second, third] = [wait(pool), wait(pool), wait(pool)];
    await pass(ms - 1);
    expect(pool.waiting).toBe(3);
    await pass(1);
    expect(pool.waiting).toBe(2);
    const probe = await first;
    expect(probe).toMatchObject({ instance: { id: 'other' }, isProbe: true });
    probe.release(answered);
    expect((await second).isProbe).toBe(false);
    expect((await third).isProbe).toBe(false);
  });

  test('is woken when an ejection ends that began while it waited', async () => {
    const { pool, other, pass } = besideABusyOne({ maxInFlight: 1 });
    const [first, second, third] = [wait(pool), wait(pool), wait(pool)];
    other.release(refused);
    (await first).release(refused);
    (await second).release(refused);
    await pass(999);
    expect(pool.waiting).toBe(1);
    await pass(1);
    expect(await third).toMatchObject({ instance: { id: 'other' }, isProbe: true });
  });

  test('is woken again and again, where probes fail', async () => {
    const { pool, other, pass } = besideABusyOne({});
    other.release({ ...answered, failure: { kind: 'rate_limited', message: '', retryAfterMs: 500 } });
    const waiting = [wait(pool), wait(pool)];
    await pass(500);
    (await waiting[0]!).release(refused);
    await pass(1000);
    expect(await waiting[1]!).toMatchObject({ isProbe: true });
  });

  test('is woken when an instance has requests left in its minute again', async () => {
    const { pool, other, pass } = besideABusyOne({ rpm: 1 });
    other.release(answered);
    const waiting = wait(pool);
    await pass(70_000);
    expect(pool.waiting).toBe(0);
    expect((await waiting).instance.id).toBe('other');
  });
});

test('who waits too long is told to come back, who leaves leaves the line', async () => {
  const { pool } = poolOf([{ id: 'a', maxInFlight: 1 }], { max: 2, waitMs: 20 });
  leased(pool.acquire(plain, nobody));
  const abort = new AbortController();
  const leaving = pool.acquireInTurn(plain, nobody, { ...someone, signal: abort.signal });
  abort.abort();
  await expect(leaving).rejects.toMatchObject({ code: 'client_closed' });
  expect(pool.waiting).toBe(0);
});

test.each([
  ['images', { vision: true }, { capabilities: { vision: false, tools: true, jsonSchema: true } }, 'no_vision'],
  ['tools', { tools: true }, { capabilities: { vision: true, tools: false, jsonSchema: true } }, 'no_tools'],
  [
    'a schema',
    { jsonSchema: true },
    { capabilities: { vision: true, tools: true, jsonSchema: false } },
    'no_json_schema',
  ],
  ['too many tokens', { inputTokens: 900, maxOutputTokens: 200 }, { contextLength: 1000 }, 'too_long'],
])('a request with %s goes only to who can take it', (_name, needs, settings, reason) => {
  const { pool } = poolOf([{ id: 'a', ...settings }, { id: 'b' }]);
  const asked = Array.from({ length: 4 }, () => leased(pool.acquire({ ...plain, ...needs }, nobody)).instance.id);
  expect(asked).toEqual(['b', 'b', 'b', 'b']);
  const { pool: alone } = poolOf([{ id: 'a', ...settings }]);
  expect(reasons(alone.acquire({ ...plain, ...needs }, nobody))).toEqual([reason]);
});

test('a prompt that fits nowhere is refused with both numbers', () => {
  const { pool } = poolOf([
    { id: 'a', contextLength: 1000 },
    { id: 'b', contextLength: 2000 },
  ]);
  const needs = { ...plain, inputTokens: 3000 };
  const found = unavailable(pool.acquire(needs, nobody));
  expect(pool.refusal(found, needs)).toMatchObject({
    code: 'context_length_exceeded',
    status: 400,
    message: 'About 3000 tokens are needed, and "m" takes 2000 at the most.',
  });
});

test('requests and tokens per minute are kept', () => {
  const { pool, clock } = poolOf([
    { id: 'a', rpm: 2 },
    { id: 'b', tpm: 25 },
  ]);
  const asked: string[] = [];
  for (let i = 0; i < 4; i++) {
    const found = pool.acquire(plain, nobody);
    if ('exclusions' in found) continue;
    asked.push(found.instance.id);
    found.release(answered);
  }
  expect(asked.toSorted()).toEqual(['a', 'a', 'b']);
  expect(reasons(pool.acquire(plain, nobody))).toEqual(['rate', 'rate']);
  clock.at += 61_000;
  expect(reasons(pool.acquire(plain, nobody))).toEqual([]);
});

test('when all are out the caller is told when the first is tried again', () => {
  const { pool, clock } = poolOf([{ id: 'a' }, { id: 'b' }]);
  const pause = { ...refused, failure: { kind: 'rate_limited', message: '', retryAfterMs: 3000 } } as const;
  leased(pool.acquire(plain, nobody)).release(pause);
  clock.at += 500;
  leased(pool.acquire(plain, nobody)).release(pause);
  const found = unavailable(pool.acquire(plain, nobody));
  expect(pool.refusal(found, plain)).toMatchObject({ code: 'no_healthy_instance', status: 503, retryAfterMs: 2500 });
});

test('explaining changes nothing', () => {
  const { pool } = poolOf([{ id: 'a', weight: 2 }, { id: 'b' }]);
  const { pool: other } = poolOf([{ id: 'a', weight: 2 }, { id: 'b' }]);
  const asked = Array.from({ length: 30 }, () => {
    pool.explain(plain);
    return leased(pool.acquire(plain, nobody)).instance.id;
  });
  expect(asked).toEqual(Array.from({ length: 30 }, () => leased(other.acquire(plain, nobody)).instance.id));
});

test('a lease that is given back twice counts once', () => {
  const { pool } = poolOf([{ id: 'a' }]);
  const lease = leased(pool.acquire(plain, nobody));
  lease.release(answered);
  lease.release(answered);
  expect(lease.instance.figures.inFlight).toBe(0);
});

test('what others found takes an instance out, but never the last one that is in use', () => {
  const { pool } = poolOf([{ id: 'a' }, { id: 'b' }]);
  const found = { isDown: true, reason: 'no answer' };
  pool.heard('nobody', found);
  pool.heard('a', found);
  for (let i = 0; i < 3; i++) expect(leased(pool.acquire(plain, nobody)).instance.id).toBe('b');
  pool.heard('b', found);
  expect(leased(pool.acquire(plain, nobody)).instance.id).toBe('b');
  pool.heard('a', { isDown: false, reason: '' });
  const probe = leased(pool.acquire(plain, nobody));
  expect([probe.instance.id, probe.isProbe]).toEqual(['a', true]);
  const alone = poolOf([{ id: 'a' }]);
  alone.pool.heard('a', found);
  expect(leased(alone.pool.acquire(plain, nobody)).instance.id).toBe('a');
});
