import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../core/json-document.ts';
import { chunksOf, completionOf } from './convert.ts';

const base = { id: 'c1', object: 'chat.completion.chunk', created: 7, model: 'm', system_fingerprint: 'fp' };
const chunk = (delta: object, finish: string | null = null, index = 0): JsonObject => ({
  ...base,
  choices: [{ index, delta, finish_reason: finish }],
});

describe('a stream as a whole answer', () => {
  test('joins texts, calls of tools and probabilities, in the order of choices', () => {
    const call = (index: number, more: object) => ({ tool_calls: [{ index, ...more }] });
    const chunks: JsonObject[] = [
      chunk({ role: 'assistant', content: '' }),
      { ...base, choices: [{ index: 0, delta: { content: 'Hel' }, logprobs: { content: [{ token: 'Hel' }] } }] },
      chunk({ role: 'assistant', content: 'Other' }, null, 1),
      { ...base, choices: [{ index: 0, delta: { content: 'lo' }, logprobs: { content: [{ token: 'lo' }] } }] },
      chunk(call(0, { id: 'a', type: 'function', function: { name: 'f', arguments: '' } })),
      chunk(call(1, { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } })),
      chunk(call(0, { function: { arguments: '{"x"' } })),
      chunk(call(0, { function: { arguments: ':1}' } })),
      chunk({ reasoning: 'be', annotations: [{ type: 'url' }] }),
      chunk({ reasoning: 'cause' }),
      chunk({}, 'stop', 1),
      chunk({}, 'tool_calls'),
      { ...base, choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } },
    ];
    expect(completionOf(chunks)).toEqual({
      ...base,
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'Hello',
            reasoning: 'because',
            annotations: [{ type: 'url' }],
            tool_calls: [
              { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
              { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
            ],
          },
          logprobs: { content: [{ token: 'Hel' }, { token: 'lo' }] },
          finish_reason: 'tool_calls',
        },
        { index: 1, message: { role: 'assistant', content: 'Other' }, finish_reason: 'stop' },
      ],
      usage: { prompt_tokens: 1, completion_tokens: 2 },
    });
  });

  test('leaves the chunks as they were', () => {
    const chunks = [chunk({ role: 'assistant', x: { y: 'a' } }), chunk({ x: { y: 'b' } }, 'stop')];
    const before = JSON.stringify(chunks);
    completionOf(chunks);
    expect(JSON.stringify(chunks)).toBe(before);
  });
});

describe('a whole answer as a stream', () => {
  const completion = {
    ...base,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'Two words',
          refusal: null,
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        logprobs: { content: [{ token: 'Two' }] },
        finish_reason: 'tool_calls',
      },
      { index: 1, message: { role: 'assistant', content: 'Other' }, logprobs: null, finish_reason: 'stop' },
    ],
    usage: { prompt_tokens: 1, completion_tokens: 2 },
  };

  test.each([
    ['in one piece', (text: string) => [text]],
    ['in words', (text: string) => text.split(/(?<=\s)/)],
  ])('says the same, %s', (_how, pieceOf) => {
    expect(completionOf(chunksOf(completion, pieceOf))).toEqual(completion);
  });

  test('has a role first, the end last, and then the usage', () => {
    const chunks = chunksOf(completion, (text) => [text]);
    expect(chunks[0]).toMatchObject({ choices: [{ delta: { role: 'assistant', content: '' }, finish_reason: null }] });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 1 } });
    expect(chunks.at(-2)).toMatchObject({ choices: [{ index: 1, delta: {}, finish_reason: 'stop' }] });
    expect(chunks.every(({ object, id }) => object === 'chat.completion.chunk' && id === 'c1')).toBe(true);
  });
});
