import { afterEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import type { Running } from '../support/mizan.ts';
import { runMizan } from '../support/mizan.ts';
import { Callers } from './callers.ts';
import type { FleetMember } from './fleet.ts';
import { configFor, firstTokenAt, openFleet, streamOf, tokens } from './fleet.ts';

const whole = tokens.join('');
const length = streamOf(tokens).length;

/** Health is not what these are about: a cut stream must not take the instance away from the next. */
const patient = { health: { consecutiveFailures: 1000, minRequests: 100_000 }, retries: { ratio: 1 } };

let closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  closing = [];
});

async function scene(size: number, model: object): Promise<{ fleet: FleetMember[]; mizan: Running; callers: Callers }> {
  const fleet = await openFleet(size);
  const mizan = await runMizan(configFor(fleet, { ...patient, ...model }));
  const callers = new Callers(mizan.url, await mizan.token());
  closing = [...fleet.map((member) => () => member.close()), () => mizan.end(), () => callers.close()];
  return { fleet, mizan, callers };
}

const at = <T>(list: readonly T[], index: number): T => list[index] as T;

/** A byte between the first token and the end of the terminator. */
function someByte(random: () => number): number {
  return firstTokenAt + Math.floor(random() * (length - 2 - firstTokenAt));
}

test(
  'a stream that is cut after a token, 500 times anywhere, is never reported as finished',
  { timeout: 60_000 },
  async () => {
    const { fleet, callers } = await scene(1, {});
    const random = seededRandom(3);
    const member = at(fleet, 0);
    await member.be('cut');
    for (let i = 0; i < 500; i++) {
      member.cutAt = someByte(random);
      const seen = await callers.call(true);
      expect({ cutAt: member.cutAt, ...seen }).toMatchObject({ error: 'upstream_truncated', isFinished: false });
      expect(whole.startsWith(seen.text)).toBe(true);
      expect(seen.ms).toBeLessThan(1000);
    }
  },
);

test(
  'a stream that is cut after a token, 500 times anywhere, is completed by another where the model resumes',
  { timeout: 60_000 },
  async () => {
    const { fleet, callers } = await scene(2, {
      resume: true,
      strategy: 'priority',
      retries: { attempts: 3, ratio: 1 },
    });
    const random = seededRandom(4);
    const [first, second] = [at(fleet, 0), at(fleet, 1)];
    let complete = 0;
    for (let i = 0; i < 500; i++) {
      // Whichever of them is asked first is the one that breaks off.
      await first.be('cut');
      first.cutAt = someByte(random);
      second.mood = 'well';
      const seen = await callers.call(true);
      // Complete to the letter, or told that it isn't.
      expect({ cutAt: first.cutAt, isTrue: seen.isFinished ? seen.text === whole : seen.error !== null }).toEqual({
        cutAt: first.cutAt,
        isTrue: true,
      });
      if (seen.isFinished) complete++;
    }
    expect(complete).toBeGreaterThanOrEqual(475);
  },
);

test('a stream that stalls after a token is told so, and never reported as finished', { timeout: 60_000 }, async () => {
  const { fleet, callers } = await scene(1, { timeouts: { idleMs: 150 } });
  await at(fleet, 0).be('stall');
  const seen = await callers.calls(500, 50, true);
  for (const one of seen) {
    expect(one).toMatchObject({ error: 'upstream_timeout', isFinished: false, text: tokens[0] });
    expect(one.ms).toBeLessThan(150 + 1000);
  }
});

test('a stream that stalls is completed by another where the model resumes, and marked', async () => {
  const { fleet, mizan, callers } = await scene(2, { resume: true, strategy: 'priority', timeouts: { idleMs: 100 } });
  await at(fleet, 0).be('stall');
  const seen = await callers.call(true);
  expect(seen).toMatchObject({ error: null, isFinished: true, text: whole });
  const answer = await fetch(`${mizan.url}/api/requests/${seen.requestId}`, {
    headers: { authorization: `Bearer ${await mizan.token()}` },
  });
  const record = (await answer.json()) as { trail: { purpose: string; outcome: string }[] };
  expect(record).toMatchObject({ resumed: 1, attempts: 2, status: 200 });
  expect(record.trail.map(({ purpose, outcome }) => `${purpose} ${outcome}`)).toEqual([
    'first timeout_idle',
    'resume ok',
  ]);
});

test('where a beginning is refused, the rest is asked for in words', async () => {
  const { fleet, callers } = await scene(2, { resume: true, strategy: 'priority' });
  const [first, second] = [at(fleet, 0), at(fleet, 1)];
  await first.be('cut');
  first.cutAt = firstTokenAt;
  second.keepsBodies = true;
  const seen = await callers.call(true);
  expect(seen.text).toBe(whole);
  const { messages } = JSON.parse(at(second.bodies, 0)) as { messages: { role: string; content: string }[] };
  expect(messages.at(-1)).toEqual({ role: 'assistant', content: tokens[0] });
});
