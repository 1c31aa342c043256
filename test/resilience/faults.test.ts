import { afterEach, expect, test } from 'vitest';
import type { Running } from '../support/mizan.ts';
import { runMizan } from '../support/mizan.ts';
import { Callers } from './callers.ts';
import type { FleetMember, Mood } from './fleet.ts';
import { configFor, openFleet, tokens } from './fleet.ts';

const whole = tokens.join('');

let closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  closing = [];
});

/** A fleet behind Mizan, and callers before it. */
async function scene(
  size: number,
  model: object = {},
  instance: object = {},
): Promise<{ fleet: FleetMember[]; mizan: Running; callers: Callers }> {
  const fleet = await openFleet(size);
  const mizan = await runMizan(configFor(fleet, model, instance));
  const callers = new Callers(mizan.url, await mizan.token());
  closing = [...fleet.map((member) => () => member.close()), () => mizan.end(), () => callers.close()];
  return { fleet, mizan, callers };
}

const at = <T>(list: readonly T[], index: number): T => list[index] as T;

/** Long enough for a busy machine, short enough for a test. */
const quick = { timeouts: { connectMs: 1500, firstByteMs: 1500, firstTokenMs: 1500, idleMs: 1500 } };

/** Calls one after the other until the instance is asked again; how long that took, in ms. */
async function untilUsedAgain(member: FleetMember, callers: Callers): Promise<number> {
  const before = member.requests;
  const startedAt = performance.now();
  while (member.requests === before && performance.now() - startedAt < 20_000) await callers.call(false);
  return performance.now() - startedAt;
}

const moods: Mood[] = ['refused', 'black-hole', '500', 'garbage', 'reset'];

test.each(moods)(
  'one of three instances is dead (%s): 10,000 calls see nothing of it, and it is used again when it is back',
  { timeout: 120_000 },
  async (mood) => {
    const { fleet, callers } = await scene(3, quick);
    const dead = at(fleet, 0);
    await dead.be(mood);
    const seen = await callers.calls(10_000, 40, false);
    expect(seen.filter(({ error, text }) => error !== null || text !== whole)).toEqual([]);
    // All that were under way when the third of them failed, and a probe every few seconds.
    const [since = 0] = dead.times;
    const early = dead.times.filter((time) => time < since + 1000).length;
    expect(early).toBeLessThanOrEqual(3 + 40);
    await dead.be('well');
    expect(await untilUsedAgain(dead, callers)).toBeLessThan(5000);
  },
);

test.each(moods)(
  'one of three instances is dead (%s): streams that had not begun see nothing of it',
  { timeout: 60_000 },
  async (mood) => {
    const { fleet, callers } = await scene(3, quick);
    await at(fleet, 0).be(mood);
    const seen = await callers.calls(1500, 30, true);
    expect(seen.filter(({ error, text, isFinished }) => error !== null || text !== whole || !isFinished)).toEqual([]);
  },
);

test('a failing instance is out after three failures', async () => {
  const { fleet, callers } = await scene(3);
  await at(fleet, 0).be('500');
  await callers.calls(30, 1, false);
  expect(at(fleet, 0).requests).toBe(3);
});

test('all instances are down: 503 with Retry-After at once, and all is well soon after one is back', async () => {
  const { fleet, callers } = await scene(3);
  for (const member of fleet) await member.be('refused');
  await callers.calls(20, 1, false);
  const refused = await callers.call(false);
  expect(refused).toMatchObject({ status: 503, error: 'no_healthy_instance' });
  expect(Number(refused.retryAfter)).toBeGreaterThan(0);
  expect(refused.ms).toBeLessThan(100);
  await at(fleet, 1).be('well');
  const startedAt = performance.now();
  let answered = 0;
  while (answered < 20 && performance.now() - startedAt < 20_000) {
    answered = (await callers.call(false)).error === null ? answered + 1 : 0;
  }
  expect(performance.now() - startedAt).toBeLessThan(5000);
});

test('a first token that takes 17 seconds is somebody else’s within the limit and their time', async () => {
  const { fleet, callers } = await scene(2, { strategy: 'priority', ...quick });
  at(fleet, 0).delayMs = 17_000;
  const seen = await callers.call(true);
  expect(seen).toMatchObject({ error: null, text: whole, isFinished: true });
  expect(seen.ms).toBeLessThan(1500 + 1000);
});

test('429 with Retry-After: 3 is left alone for three seconds, and the others are not affected', async () => {
  const { fleet, callers } = await scene(2);
  const limited = at(fleet, 0);
  await limited.be('429');
  while (limited.requests === 0) await callers.call(false);
  const pausedAt = at(limited.times, 0);
  await limited.be('well');
  while (limited.requests === 1) expect((await callers.call(false)).error).toBeNull();
  expect(at(limited.times, 1) - pausedAt).toBeGreaterThanOrEqual(2990);
  expect(at(limited.times, 1) - pausedAt).toBeLessThan(4500);
});

test('200 at a time over three instances of ten: never more than ten, a bounded line, and 503 for the rest', async () => {
  const { fleet, callers } = await scene(3, { queue: { max: 50, waitMs: 20_000 } }, { maxInFlight: 10 });
  for (const member of fleet) member.delayMs = 100;
  const seen = await callers.calls(200, 200, false);
  expect(fleet.map(({ mostInFlight }) => mostInFlight)).toEqual([10, 10, 10]);
  const answered = seen.filter(({ error }) => error === null);
  const turnedAway = seen.filter(({ error }) => error !== null);
  expect(answered.length).toBeGreaterThanOrEqual(80);
  expect(turnedAway.length).toBeGreaterThan(0);
  for (const one of turnedAway) expect(one).toMatchObject({ status: 503, error: 'overloaded', retryAfter: '1' });
});

test('a model that is down is answered for by its fallback', async () => {
  const fleet = await openFleet(2);
  const config = configFor(fleet) as { models: Record<string, object> };
  const instance = (i: number): object => ({ id: `i${i}`, provider: `p${i}`, model: 'fleet' });
  config.models = { m: { instances: [instance(0)], fallbacks: ['spare'] }, spare: { instances: [instance(1)] } };
  const mizan = await runMizan(config);
  const callers = new Callers(mizan.url, await mizan.token());
  closing = [...fleet.map((member) => () => member.close()), () => mizan.end(), () => callers.close()];
  await at(fleet, 0).be('500');
  const seen = await callers.calls(20, 2, false);
  expect(seen.filter(({ error }) => error !== null)).toEqual([]);
  expect(at(fleet, 1).requests).toBe(20);
});
