import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ChatEvents } from '../../core/chat.ts';
import { deltaOf, textOf } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import { Joint, PartialAnswer, withoutOverlap } from './resume.ts';

const chunk = (delta: JsonObject, more: JsonObject = {}, finish: string | null = null): JsonObject => ({
  id: 'one',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish }],
  ...more,
});

const events = (...chunks: JsonObject[]): ChatEvents => ({ bytes: Buffer.from('x'), chunks });

function partialOf(text: string): PartialAnswer {
  const partial = new PartialAnswer();
  partial.add(events(chunk({ role: 'assistant', content: '' }), chunk({ content: text })));
  return partial;
}

const before = { wantsUsage: false, tokens: 0, resumed: 1 };

/** What a caller reads of a continuation that comes in these pieces. */
function read(sent: string, pieces: readonly string[]): string {
  const joint = new Joint(partialOf(sent), before);
  const other = { id: 'two', created: 2, model: 'n' };
  const all = [
    chunk({ role: 'assistant', content: '' }, other),
    ...pieces.map((content) => chunk({ content }, other)),
    chunk({}, other, 'stop'),
  ];
  return all
    .flatMap((one) => joint.join(events(one)).chunks)
    .map((one) => textOf(deltaOf(one)))
    .join('');
}

test.each([
  ['goes on where it ended', 'The scale is ', 'an old tool.', 'an old tool.'],
  ['repeats the last sentence', 'First. The scale is an old', 'The scale is an old tool.', ' tool.'],
  [
    'begins again from the start',
    'The scale is an old',
    'The scale is an old tool for weighing.',
    ' tool for weighing.',
  ],
  ['shares a word by chance', 'We weigh the', 'the gold.', 'the gold.'],
  ['repeats Arabic text', 'الميزان أداة قديمة تُستعمل', 'أداة قديمة تُستعمل للوزن.', ' للوزن.'],
])('a continuation that %s reads as one text', (_name, sent, next, expected) => {
  expect(withoutOverlap(sent, next)).toBe(expected);
  expect(read(sent, Array.from(next))).toBe(expected);
});

test('a continuation that begins again is not doubled however long the answer was', () => {
  const sent = Array.from({ length: 200 }, (_, i) => `Sentence ${i}. `).join('');
  expect(read(sent, (sent + 'The end.').match(/.{1,7}/gs) ?? [])).toBe('The end.');
});

test('a continuation that goes on loses and doubles nothing, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 60 }),
      fc.nat(),
      fc.integer({ min: 1, max: 9 }),
      (text, at, size) => {
        const numbered = Array.from(text, (letter, i) => `${i}${letter}`).join('');
        const cut = at % numbered.length;
        const pieces = numbered.slice(cut).match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? [];
        expect(read(numbered.slice(0, cut), pieces)).toBe(numbered.slice(cut));
      },
    ),
  );
});

test('every chunk keeps the id of the first, and the role is said once', () => {
  const joint = new Joint(partialOf('The scale is '), before);
  const joined = joint.join(
    events(chunk({ role: 'assistant', content: 'an old tool.' }, { id: 'two' }), chunk({}, { id: 'two' }, 'stop')),
  );
  expect(joined.chunks.map(({ id }) => id)).toEqual(['one']);
  expect(joined.bytes.toString()).not.toContain('role');
  expect(joined.bytes.toString()).toContain('"finish_reason":"stop"');
});

test('half a tool call is not gone on with', () => {
  const partial = partialOf('I will look. ');
  partial.add(events(chunk({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '{' } }] })));
  expect(partial.canContinue).toBe(false);
});

const usage = { id: 'two', choices: [], usage: { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 } };

test('the usage of a resumed answer is hidden from who did not ask for it', () => {
  const joint = new Joint(partialOf('The scale is '), before);
  expect(joint.join(events(usage))).toEqual({ chunks: [], bytes: Buffer.alloc(0) });
});

test('the usage of a resumed answer has what was said before, for who asked for it', () => {
  const joint = new Joint(partialOf('The scale is '), { wantsUsage: true, tokens: 3, resumed: 1 });
  expect(joint.join(events(usage)).chunks).toEqual([
    {
      ...usage,
      id: 'one',
      created: 1,
      model: 'm',
      usage: { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 },
    },
  ]);
});

test('the last chunk of a resumed answer says so', () => {
  const joint = new Joint(partialOf('The scale is '), { ...before, resumed: 2 });
  expect(joint.join(events(chunk({ content: 'old.' }, {}, 'stop'))).chunks).toMatchObject([{ mizan: { resumed: 2 } }]);
});
