import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { preparedChat } from '../../../test/support/attempts.ts';
import type { Play, Scene } from '../../../test/support/scene.ts';
import { answers, inTurn, scene } from '../../../test/support/scene.ts';
import type { ScriptedAttempt } from '../../../test/support/scripted-provider.ts';
import { finishes, role, says, uses } from '../../../test/support/scripted-provider.ts';
import { textOf, deltaOf } from '../../core/chat.ts';
import type { FailureKind } from '../../core/failure.ts';
import { failureTable } from '../../core/failure.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const resuming = { policy: { resume: true } };

const begins = 'The scale is an old ';
const breaks =
  (kind: FailureKind): Play =>
  (attempt) =>
    attempt.head().events(role).events(says(begins)).fail({ kind });
const goesOn: Play = (attempt) => attempt.head().events(role).events(says('tool.')).events(finishes('stop')).end();
const refuses: Play = (attempt) => attempt.fail({ kind: 'rejected', status: 400 });

/** What the caller reads. */
const read = ({ call }: Scene): string =>
  call.sink.events
    .flatMap(({ chunks }) => chunks)
    .map((chunk) => textOf(deltaOf(chunk)))
    .join('');

/** The messages that were sent. */
function messagesOf({ asked: { chat } }: ScriptedAttempt): unknown {
  return (JSON.parse(chat.body.edited(chat.edits).toString()) as { messages: unknown }).messages;
}

const kinds = Object.keys(failureTable) as FailureKind[];
const isPassing = (kind: FailureKind): boolean => ['again', 'instance'].includes(failureTable[kind].next);

describe('an answer that broke off', () => {
  test.each(kinds.filter(isPassing))('by %s is taken up by another instance', async (kind) => {
    const stage = scene([breaks(kind), goesOn], resuming);
    const { error, resumed, head, trail } = await stage.run();
    expect({ error, resumed }).toStrictEqual({ error: null, resumed: 1 });
    expect(read(stage)).toBe('The scale is an old tool.');
    expect(head).toMatchObject({ instance: 'p1', attempts: 2 });
    expect(stage.call.sink.heads).toMatchObject([{ instance: 'p0', attempts: 1 }]);
    expect(trail.map(({ purpose, outcome }) => [purpose, outcome])).toStrictEqual([
      ['first', kind],
      ['resume', 'ok'],
    ]);
  });

  test.each(kinds.filter((kind) => !isPassing(kind)))('by %s is not', async (kind) => {
    const { run, attempts } = scene([breaks(kind), goesOn], resuming);
    expect((await run()).error).toMatchObject({ code: failureTable[kind].code });
    expect(attempts()).toHaveLength(1);
  });

  test('is not taken up where the model does not allow it', async () => {
    const { run, attempts } = scene([breaks('network'), goesOn]);
    expect(await run()).toMatchObject({ error: { code: 'upstream_error' }, resumed: 0 });
    expect(attempts()).toHaveLength(1);
  });

  test('in a tool call is not taken up', async () => {
    const call = { choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: '{' } }] } }] };
    const { run, attempts } = scene(
      [(attempt) => attempt.head().events(says('I look.')).events(call).fail({ kind: 'network' }), goesOn],
      resuming,
    );
    expect((await run()).error).toMatchObject({ code: 'upstream_error' });
    expect(attempts()).toHaveLength(1);
  });

  test('may break off again: within three attempts it goes on', async () => {
    const stage = scene([breaks('network'), breaks('network'), breaks('network'), goesOn], resuming);
    expect((await stage.run()).error).toMatchObject({ code: 'upstream_error' });
    expect(stage.attempts()).toHaveLength(3);
  });

  test('is taken up by the only instance after a pause', async () => {
    const stage = scene([inTurn(breaks('network'), goesOn)], resuming);
    const result = stage.run();
    await vi.advanceTimersByTimeAsync(49);
    expect(stage.attempts()).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect((await result).error).toBe(null);
    expect(read(stage)).toBe('The scale is an old tool.');
  });

  test('uses what both attempts used', async () => {
    const { run } = scene(
      [
        (attempt) => attempt.head().events(says(begins)).hidden(uses(1_000_000, 0)).fail({ kind: 'network' }),
        (attempt) =>
          attempt.head().events(says('tool.')).events(finishes('stop')).hidden(uses(1_000_000, 500_000)).end(),
      ],
      resuming,
    );
    expect((await run()).usage).toMatchObject({ inputTokens: 2_000_000, outputTokens: 500_000, costUsd: 3 });
  });

  test('after its finish reason was complete: it is ended, and nobody else is asked', async () => {
    const stage = scene(
      [(attempt) => attempt.head().events(says('All.')).events(finishes('stop')).fail({ kind: 'truncated' }), answers],
      resuming,
    );
    const { error, last } = await stage.run();
    expect(error).toBe(null);
    expect(last).toMatchObject({ failure: null, finishReason: 'stop' });
    expect(stage.call.sink.text()).toContain('"finish_reason":"stop"');
    expect(stage.attempts()).toHaveLength(1);
  });
});

describe('the rest is asked for', () => {
  const question = { role: 'user', content: 'What is a scale?' };
  const chat = preparedChat({ model: 'm', messages: [question], stream: true });
  const sent = { role: 'assistant', content: begins };
  const asksForMore = {
    role: 'user',
    content: expect.stringContaining('Continue it exactly where it ended') as string,
  };

  test('by the answer so far, as the assistant’s', async () => {
    const { run, attempts } = scene([breaks('network'), goesOn], { ...resuming, chat });
    await run();
    expect(attempts().map(messagesOf)).toStrictEqual([[question], [question, sent]]);
  });

  test('and in words, where a provider takes no such message', async () => {
    const { run, attempts } = scene([breaks('network'), goesOn], {
      ...resuming,
      chat,
      continuation: () => 'instruction',
    });
    await run();
    expect(messagesOf(attempts()[1]!)).toStrictEqual([question, sent, asksForMore]);
  });

  test('in words, where an upstream refuses such a message', async () => {
    const stage = scene([breaks('network'), inTurn(refuses, goesOn)], { ...resuming, chat });
    expect((await stage.run()).error).toBe(null);
    expect(stage.attempts().map(messagesOf)).toStrictEqual([
      [question],
      [question, sent],
      [question, sent, asksForMore],
    ]);
    expect(read(stage)).toBe('The scale is an old tool.');
  });

  test('but not for ever', async () => {
    const { run, attempts } = scene([breaks('network'), refuses], { ...resuming, chat });
    expect((await run()).error).toMatchObject({ code: 'upstream_rejected' });
    expect(attempts()).toHaveLength(3);
  });

  test('of each provider as it takes it', async () => {
    const stage = scene([breaks('network'), breaks('network'), goesOn], {
      ...resuming,
      chat,
      continuation: (i) => (i === 2 ? 'instruction' : 'prefill'),
    });
    await stage.run();
    expect(messagesOf(stage.attempts()[1]!)).toHaveLength(2);
    expect(messagesOf(stage.attempts()[2]!)).toHaveLength(3);
  });
});

test('where the second of two broke off, the first is asked for the rest', async () => {
  const stage = scene([inTurn(() => {}, goesOn), breaks('network')], {
    policy: { resume: true, hedge: { afterMs: 100, maxShare: 1 } },
  });
  const result = stage.run();
  await vi.advanceTimersByTimeAsync(100);
  expect((await result).trail.map(({ instance, purpose }) => [instance, purpose])).toStrictEqual([
    ['p0', 'first'],
    ['p1', 'hedge'],
    ['p0', 'resume'],
  ]);
  expect(read(stage)).toBe('The scale is an old tool.');
});
