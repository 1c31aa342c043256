import { expect, test } from 'vitest';
import type { Failure, FailureKind } from '../../core/failure.ts';
import { failureTable } from '../../core/failure.ts';
import { defaultHealth, Health, hearsayMs } from './health.ts';

const failed = (kind: FailureKind, more: Partial<Failure> = {}): Failure => ({ kind, message: kind, ...more });

/** One request at `now` that ends at once. Whether it was admitted. */
function ask(health: Health, now: number, failure: Failure | null, isLast = false): boolean {
  if (!health.admits(now)) return false;
  const isProbe = health.started();
  health.ended(failure, { isProbe, isLast, now });
  return true;
}

test('three failures one after the other take an instance out, an answer between them does not', () => {
  const health = new Health(defaultHealth);
  ask(health, 0, failed('network'));
  ask(health, 1, failed('network'));
  ask(health, 2, null);
  ask(health, 3, failed('network'));
  ask(health, 4, failed('network'));
  expect(health.isOut).toBe(false);
  ask(health, 5, failed('network'));
  expect(health.view(5)).toEqual({ state: 'ejected', reason: 'network', nextTryMs: 1000 });
});

test('half of twenty requests failing takes it out even if never three follow each other', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 30 && !health.isOut; i++) ask(health, i, i % 2 === 0 ? null : failed('server_error'));
  expect(health.isOut).toBe(true);
});

test('failures older than the window are forgotten', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 19; i++) ask(health, i, i % 2 === 0 ? null : failed('server_error'));
  for (let i = 0; i < 4; i++) ask(health, 40_000 + i, i % 2 === 0 ? null : failed('server_error'));
  expect(health.isOut).toBe(false);
});

test('only what the table blames on the instance counts against it', () => {
  for (const [kind, facts] of Object.entries(failureTable)) {
    const health = new Health(defaultHealth);
    for (let i = 0; i < 5; i++) ask(health, i, failed(kind as FailureKind));
    expect({ kind, isOut: health.isOut }).toEqual({ kind, isOut: facts.instance !== 'fine' });
  }
});

test('while it is out nothing is sent, then one probe at a time', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 3; i++) ask(health, 0, failed('network'));
  expect(health.admits(999)).toBe(false);
  expect(health.admits(1000)).toBe(true);
  expect(health.started()).toBe(true);
  expect(health.admits(1000)).toBe(false);
  expect(health.view(1000).state).toBe('probing');
  health.ended(null, { isProbe: true, isLast: false, now: 1010 });
  expect(health.admits(1010)).toBe(true);
  expect(health.view(1010).state).toBe('returning');
});

test('a failed probe doubles the time out, up to the limit', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 3; i++) ask(health, 0, failed('network'));
  const waits: number[] = [];
  let now = 0;
  for (let i = 0; i < 5; i++) {
    waits.push(health.nextTryAt(now) - now);
    now = health.nextTryAt(now);
    ask(health, now, failed('network'));
  }
  expect(waits).toEqual([1000, 2000, 4000, 4500, 4500]);
});

test('a primary that is down for a minute is asked at most ten times by fifteen requests', () => {
  const health = new Health(defaultHealth);
  let asked = 0;
  for (let i = 0; i < 15; i++) if (ask(health, i * 4000, failed('network'))) asked++;
  expect(asked).toBeLessThanOrEqual(10);
});

test('the weight comes back slowly', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 3; i++) ask(health, 0, failed('network'));
  ask(health, 1000, null);
  expect([1000, 3500, 6000, 11_000].map((now) => health.share(now))).toEqual([0.1, 0.25, 0.5, 1]);
});

test('the last one in use stays in use as long as it answers at all', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 40; i++) ask(health, i, i % 4 === 0 ? null : failed('server_error'), true);
  expect(health.isOut).toBe(false);
});

test('the last one in use is asked every second if it does not answer at all', () => {
  const health = new Health(defaultHealth);
  let asked = 0;
  for (let now = 0; now < 10_000; now += 100) if (ask(health, now, failed('network'), true)) asked++;
  expect(asked).toBeLessThanOrEqual(3 + 10);
  expect(asked).toBeGreaterThanOrEqual(10);
});

test.each([
  ['Retry-After of three seconds', failed('rate_limited', { retryAfterMs: 3000 }), 3000, 'paused'],
  ['429 that says nothing', failed('rate_limited'), 1000, 'paused'],
  ['503 with Retry-After', failed('overloaded', { retryAfterMs: 20_000 }), 20_000, 'paused'],
  ['a refused key', failed('unauthorized'), 600_000, 'locked'],
])('%s takes it out for exactly as long', (_name, failure, ms, state) => {
  const health = new Health(defaultHealth);
  ask(health, 0, failure);
  expect(health.view(0).state).toBe(state);
  expect(health.admits(ms - 1)).toBe(false);
  expect(health.admits(ms)).toBe(true);
});

test.each([
  ['ten years', 315_360_000_000, 3_600_000],
  ['a time that no number holds', Infinity, 3_600_000],
  ['one ms less than an hour', 3_599_999, 3_599_999],
])('an upstream that asks for %s gets it up to the limit', (_name, retryAfterMs, ms) => {
  for (const kind of ['rate_limited', 'overloaded'] as const) {
    const health = new Health(defaultHealth);
    ask(health, 0, failed(kind, { retryAfterMs }));
    expect(health.view(0)).toMatchObject({ state: 'paused', nextTryMs: ms });
  }
});

test('an answer to what was sent before a pause does not end the pause', () => {
  const health = new Health(defaultHealth);
  const isProbe = health.started();
  ask(health, 0, failed('rate_limited', { retryAfterMs: 3000 }));
  health.ended(null, { isProbe, isLast: false, now: 10 });
  expect(health.admits(2999)).toBe(false);
});

test('a probe that its caller gave up is followed by another', () => {
  const health = new Health(defaultHealth);
  for (let i = 0; i < 3; i++) ask(health, 0, failed('network'));
  ask(health, 1000, failed('cancelled'));
  expect(health.admits(1000)).toBe(true);
  expect(health.isOut).toBe(true);
});

test('on somebody else’s word it is out for a while, and then a request of its own finds out', () => {
  const health = new Health(defaultHealth);
  health.heardDown('no answer', 1000);
  expect(health.view(1000)).toEqual({ state: 'ejected', reason: 'no answer', nextTryMs: hearsayMs });
  expect(ask(health, 1000 + hearsayMs - 1, null)).toBe(false);
  expect(ask(health, 1000 + hearsayMs, null)).toBe(true);
  expect(health.view(1000 + hearsayMs).state).toBe('returning');
});

test('when it is heard that it is back, the next request is the one that finds out', () => {
  const health = new Health(defaultHealth);
  health.heardDown('no answer', 1000);
  health.heardUp(2000);
  expect(health.started()).toBe(true);
  expect(health.admits(2000)).toBe(false);
  health.ended(failed('network'), { isProbe: true, isLast: false, now: 2001 });
  expect(health.view(2001)).toMatchObject({ state: 'ejected', reason: 'network' });
  // What it failed here is not to be talked away.
  health.heardUp(2002);
  expect(health.admits(2002)).toBe(false);
});

test('what it answered here lately, and what it is out for here, count for more than what others say', () => {
  const health = new Health(defaultHealth);
  ask(health, 1000, null);
  health.heardDown('no answer', 1000 + defaultHealth.windowMs - 1);
  expect(health.isOut).toBe(false);
  const failing = new Health(defaultHealth);
  for (let i = 0; i < 3; i++) ask(failing, i, failed('network'));
  const { nextTryMs } = failing.view(10);
  failing.heardDown('no answer', 10);
  expect(failing.view(10)).toMatchObject({ reason: 'network', nextTryMs });
});
