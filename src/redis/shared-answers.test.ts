import { describe, expect, test, vi } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { counted, kitchen } from '../../test/support/kitchen.ts';
import { answerOf, keep, keyOf, landed, looked, SharedStage, slow } from './shared-answers.suite.ts';

const stage = new SharedStage();

describe('an answer', () => {
  test.each(['سلام', 'x'.repeat(20_000)])('comes back as it was, for as long as it is of use: %#', async (text) => {
    const [one, other] = [await stage.answers(), await stage.answers()];
    const answer = answerOf(text);
    await keep(one.shared, keyOf('1'), answer);
    expect(await landed(other.shared, keyOf('1'))).toEqual(answer);
    const [name = ''] = await stage.client.keys('mizan:cache:*');
    expect(await stage.client.pttl(name)).toBeGreaterThan(80_000);
    expect(await stage.client.pttl(name)).toBeLessThanOrEqual(90_000);
    expect(await stage.client.strlen(name)).toBeLessThan(1000);
  });

  test('of another tenant or key does not open', async () => {
    const { shared, refused } = await stage.answers();
    await keep(shared, keyOf('1'), answerOf('x'));
    const [name = ''] = await stage.client.keys('mizan:cache:*');
    await stage.client.copy(name, name.replace('{1}', '{2}'));
    expect(await looked(shared, keyOf('2'), '', false)).toEqual({ found: null, turn: 'mine' });
    expect(refused()).toBe(1);
  });
});

describe('whose turn it is', () => {
  test('is the first one to ask, until it is done', async () => {
    const [one, other] = [await stage.answers(), await stage.answers()];
    expect(await looked(one.shared, keyOf('1'), 'a', false)).toEqual({ found: null, turn: 'mine' });
    expect(await looked(other.shared, keyOf('1'), 'b', false)).toMatchObject({ found: null, turn: 'theirs' });
    one.shared.land(keyOf('1'), 'a', null, false);
    await vi.waitFor(async () => {
      expect(await looked(other.shared, keyOf('1'), 'b', true)).toEqual({ found: null, turn: 'mine' });
    }, slow);
  });

  test('an answer that is not kept is there for those who wait, and for nobody else', async () => {
    const { shared } = await stage.answers();
    shared.land(keyOf('1'), 'a', answerOf('x'), false);
    await landed(shared, keyOf('1'), true);
    expect(await looked(shared, keyOf('1'), '', false)).toMatchObject({ found: null });
  });

  test('is anybody’s where the process that has it says nothing any more', async () => {
    const { shared } = await stage.answers();
    await looked(shared, keyOf('1'), 'a', false);
    const [name = ''] = await stage.client.keys('*:lease');
    expect(await stage.client.pttl(name)).toBeGreaterThan(0);
    expect(await stage.client.pttl(name)).toBeLessThanOrEqual(2000);
  });

  test('is told with an answer that is too old', async () => {
    const { shared } = await stage.answers();
    const answer = answerOf('x');
    await keep(shared, keyOf('1'), answer);
    expect(await looked(shared, keyOf('1'), 'b', false, true)).toEqual({ found: null, turn: 'mine', old: answer });
    const { shared: other } = await stage.answers();
    expect(await looked(other, keyOf('1'), 'c', false, true)).toMatchObject({
      found: null,
      turn: 'theirs',
      old: answer,
    });
  });
});

test('of two processes with the same old answer, one fetches a newer one, and the other takes that', async () => {
  const policy = { ttlMs: 100_000, revalidateMs: 3_600_000 };
  const [{ shared: one }, { shared: other }] = [await stage.answers(), await stage.answers()];
  const play = counted();
  const both = [
    kitchen(play, { policy, shared: one }, new ManualClock()),
    kitchen(play, { policy, shared: other }, new ManualClock()),
  ] as const;
  expect(await both[0].went()).toEqual(['miss', null, 'answer1']);
  await vi.waitFor(async () => expect(await both[1].went()).toEqual(['hit', 0, 'answer1']), slow);
  for (const { clock } of both) clock.advance(200_000);
  expect(await both[0].went()).toEqual(['hit', 200, 'answer1']);
  await vi.waitFor(async () => expect(await both[0].went()).toEqual(['hit', 0, 'answer2']), slow);
  // The new one is in Redis a moment later than in the memory of whoever has made it.
  await vi.waitFor(async () => expect(await stage.client.keys('*:lease')).toEqual([]), slow);
  expect(await both[1].went()).toEqual(['hit', 200, 'answer1']);
  await vi.waitFor(async () => expect(await both[1].went()).toEqual(['hit', 0, 'answer2']), slow);
  expect(both.map(({ refreshed }) => refreshed.length)).toEqual([1, 0]);
});

describe('an answer under way', () => {
  const signal = new AbortController().signal;
  const head = { kind: 'head', model: 'fast', instance: 'a', provider: 'p' } as const;
  const part = (text: string) => ({ kind: 'part', bytes: Buffer.from(text), isUsage: false }) as const;

  /** One that tells, and one that listens. */
  async function telling() {
    const [one, other] = [await stage.answers(), await stage.answers()];
    await looked(one.shared, keyOf('1'), 'a', false);
    const changes: [boolean, boolean][] = [];
    const audience = { changed: (...change: [boolean, boolean]) => void changes.push(change) };
    const teller = one.shared.tell(keyOf('1'), 'a', audience);
    const look = await looked(other.shared, keyOf('1'), 'b', false);
    const holder = 'holder' in look ? look.holder : '';
    /** What is heard until there are so many words. */
    const heard = async (count: number) => {
      const words: unknown[] = [];
      let upTo = 0;
      while (words.length < count) {
        const heardNow = await other.shared.hear(keyOf('1'), { holder, upTo }, signal);
        if (heardNow === 'away') continue;
        if (heardNow.isBroken) return { words, isBroken: true };
        words.push(...heardNow.words);
        upTo = heardNow.upTo;
      }
      return { words, isBroken: false };
    };
    return { one, other, teller, holder, changes, heard };
  }

  test('is heard word by word, in order, once', async () => {
    const { teller, heard } = await telling();
    const parts = Array.from({ length: 300 }, (_, i) => part(`${i} ${'x'.repeat(1000)}`));
    teller.say(head);
    for (const each of parts) {
      teller.say(each);
      if (parts.indexOf(each) % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await heard(301)).words).toEqual([head, ...parts]);
  });

  test('tells the one whose it is who listens, and when nobody does any more', async () => {
    const { teller, changes, heard } = await telling();
    teller.say(head);
    await heard(1);
    await vi.waitFor(() => expect(changes.at(-1)).toEqual([true, true]), slow);
    await stage.client.del(await stage.client.keys('*:ears'));
    await vi.waitFor(() => expect(changes.at(-1)).toEqual([false, false]), slow);
  });

  test('with a piece that was altered, moved or lost is heard up to there', async () => {
    const { teller, heard, other } = await telling();
    teller.say(head);
    await heard(1);
    const [pieces = ''] = await stage.client.keys('*:lease:*');
    await stage.client.xadd(pieces, '3-1', 'p', 'made up');
    expect(await heard(2)).toEqual({ words: [head], isBroken: true });
    const first = (await stage.client.xrange(pieces, '-', '+'))[0]![1][1]!;
    await stage.client.del(pieces);
    await stage.client.xadd(pieces, '1-1', 'p', first);
    expect(await heard(1)).toMatchObject({ isBroken: true });
    expect(other.refused()).toBe(1);
  });

  test('lies there for a moment only, sealed', async () => {
    const { teller, heard } = await telling();
    teller.say(part('a secret'));
    await heard(1);
    const [pieces = ''] = await stage.client.keys('*:lease:*');
    expect(await stage.client.pttl(pieces)).toBeLessThanOrEqual(10_000);
    expect(JSON.stringify(await stage.client.xrange(pieces, '-', '+'))).not.toContain('secret');
  });
});
