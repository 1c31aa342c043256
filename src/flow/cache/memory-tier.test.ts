import { describe, expect, test } from 'vitest';
import type { CachedAnswer, CacheKey } from '../../core/response-cache.ts';
import { unknownUsage } from '../../core/usage.ts';
import { MemoryTier } from './memory-tier.ts';

const answerOf = (body: string | Buffer, over: Partial<CachedAnswer> = {}): CachedAnswer => ({
  kind: 'json',
  body: Buffer.from(body),
  usageEvent: Buffer.alloc(0),
  usage: unknownUsage,
  finishReason: 'stop',
  model: 'fast',
  instance: 'a',
  provider: 'p',
  storedAt: 0,
  freshUntil: 10,
  refreshUntil: 10,
  rescueUntil: 10,
  ...over,
});

const keyOf = (hash: string, tenant = 'acme'): CacheKey => ({ hash, tenant, agent: null, model: 'fast' });
const kibibyte = 'x'.repeat(1024);

function tierOf(maxBytes = 1024 * 1024, maxBytesPerTenant = Infinity) {
  let evicted = 0;
  const tier = new MemoryTier({ maxBytes, maxBytesPerTenant }, () => evicted++);
  return { tier, evicted: () => evicted };
}

describe('what is kept', () => {
  test.each([
    ['a short body', Buffer.from([0, 255, 128, 10])],
    ['a long one', Buffer.alloc(20_000, 'سلام')],
  ])('comes back to the byte: %s', (_what, body) => {
    const { tier } = tierOf();
    tier.set(keyOf('1'), answerOf(body));
    expect(tier.get('1')?.body.equals(body)).toBe(true);
  });

  test('of a stream, is compressed a little later and comes back to the byte', async () => {
    const { tier } = tierOf();
    const body = Buffer.from('data: {"choices":[{"delta":{"content":"سلام"}}]}\n\n'.repeat(400));
    tier.set(keyOf('1'), answerOf(body, { kind: 'stream', usageEvent: Buffer.from('data: {}\n\n') }));
    const before = tier.holding().bytes;
    while (tier.holding().bytes === before) await new Promise((resolve) => setImmediate(resolve));
    expect(tier.holding().bytes).toBeLessThan(before / 5);
    expect(tier.get('1')?.body.equals(body)).toBe(true);
    expect(tier.get('1')?.usageEvent.toString()).toBe('data: {}\n\n');
    expect(tier.holding('acme')).toEqual(tier.holding());
  });

  test('stays within its bounds: the least lately used makes room', () => {
    const { tier, evicted } = tierOf(100 * 1024);
    for (let i = 0; i < 1000; i++) {
      tier.set(keyOf(String(i), `t${i % 3}`), answerOf(kibibyte));
      tier.get('0');
    }
    expect(tier.holding().bytes).toBeLessThanOrEqual(100 * 1024);
    expect(tier.get('0')).toBeDefined();
    expect(tier.get('1')).toBeUndefined();
    expect(evicted() + tier.holding().entries).toBe(1000);
    const tenants = ['t0', 't1', 't2'].map((tenant) => tier.holding(tenant));
    expect(tenants.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(tier.holding().bytes);
  });

  test('takes no more of the machine, however much goes through it, and nothing once all has gone', async () => {
    const { tier } = tierOf(8 * 1024 * 1024);
    for (let i = 0; i < 50_000; i++) tier.set(keyOf(String(i % 20_000)), answerOf(kibibyte));
    expect(tier.allocated).toBeLessThanOrEqual(8 * 1024 * 1024);
    await tier.remove(() => true);
    expect([tier.allocated, tier.holding().entries]).toEqual([0, 0]);
  });

  test('is never larger than an eighth of everything, and nothing at all where there is no room', () => {
    const { tier } = tierOf(16 * 1024);
    tier.set(keyOf('1'), answerOf('x'.repeat(3000)));
    expect(tier.get('1')).toBeUndefined();
    expect([tier.holding(), tier.holding('acme')]).toEqual([
      { entries: 0, bytes: 0 },
      { entries: 0, bytes: 0 },
    ]);
    const none = tierOf(0).tier;
    none.set(keyOf('1'), answerOf('x'));
    expect(none.get('1')).toBeUndefined();
  });
});

describe('cleaning', () => {
  const never = new AbortController().signal;

  test('removes what is too old for any use, and says what that freed', async () => {
    const { tier } = tierOf();
    tier.set(keyOf('old'), answerOf('x'));
    tier.set(keyOf('rescue'), answerOf('x', { rescueUntil: 20 }));
    const before = tier.holding();
    const freed = await tier.cleanup(10, never);
    expect(freed.entries).toBe(1);
    expect(tier.holding()).toEqual({ entries: 1, bytes: before.bytes - freed.bytes });
    expect(tier.get('rescue')).toBeDefined();
  });

  test('brings a tenant back to what it may have, the oldest first, and touches no other', async () => {
    const { tier } = tierOf(1024 * 1024, 20 * 1024);
    for (let i = 0; i < 50; i++) tier.set(keyOf(`a${i}`), answerOf(kibibyte));
    for (let i = 0; i < 5; i++) tier.set(keyOf(`b${i}`, 'other'), answerOf(kibibyte));
    await tier.cleanup(0, never);
    expect(tier.holding('acme').bytes).toBeLessThanOrEqual(20 * 1024);
    expect(tier.holding('other').entries).toBe(5);
    expect([tier.get('a0'), tier.get('a49')?.kind]).toEqual([undefined, 'json']);
  });

  test('gives others a turn in between, and ends when it is told to', async () => {
    const { tier } = tierOf(64 * 1024 * 1024);
    for (let i = 0; i < 5000; i++) tier.set(keyOf(String(i)), answerOf('x'));
    const abort = new AbortController();
    setImmediate(() => abort.abort());
    const freed = await tier.cleanup(10, abort.signal);
    expect(freed.entries).toBeLessThan(5000);
    expect(tier.holding().entries).toBe(5000 - freed.entries);
  });

  test('removes a selection', async () => {
    const { tier } = tierOf();
    tier.set(keyOf('1'), answerOf('x'));
    tier.set({ ...keyOf('2'), agent: 'a' }, answerOf('x'));
    tier.set({ ...keyOf('3', 'other'), model: 'slow' }, answerOf('x', { storedAt: 5 }));
    expect((await tier.remove(({ agent }) => agent === 'a')).entries).toBe(1);
    expect((await tier.remove(({ model }) => model === 'slow', 4)).entries).toBe(0);
    expect((await tier.remove(({ model }) => model === 'slow')).entries).toBe(1);
    expect((await tier.remove(() => true)).entries).toBe(1);
  });
});
