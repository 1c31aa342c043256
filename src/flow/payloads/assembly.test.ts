import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../core/json-document.ts';
import { Assembly } from './assembly.ts';

const head = { id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'm' };

const chunk = (delta: object, more: object = {}, index = 0): JsonObject => ({
  ...head,
  choices: [{ index, delta, finish_reason: null, ...more }],
});

function assembled(chunks: readonly JsonObject[], maxBytes = 1e6): { assembly: Assembly; json: unknown } {
  const assembly = new Assembly(maxBytes);
  for (const each of chunks) assembly.add({ bytes: Buffer.alloc(0), chunks: [each] });
  return { assembly, json: JSON.parse(JSON.stringify(assembly.completion())) };
}

describe('a streamed answer', () => {
  test('is put together as it would have come without streaming', () => {
    const call = (index: number, part: object) => ({ tool_calls: [{ index, ...part }] });
    const { json } = assembled([
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'سلا', reasoning: 'I ' }),
      chunk({ content: 'م', reasoning: 'think' }),
      chunk(call(0, { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x"' } })),
      chunk(call(1, { id: 'b', type: 'function', function: { name: 'g', arguments: '' } })),
      chunk(call(0, { function: { arguments: ':1}' } })),
      chunk({ content: 'other' }, { finish_reason: 'length' }, 1),
      chunk({}, { finish_reason: 'tool_calls' }),
      { ...head, choices: [], usage: { prompt_tokens: 1 } },
    ]);
    expect(json).toEqual({
      ...head,
      object: 'chat.completion',
      usage: { prompt_tokens: 1 },
      choices: [
        {
          index: 0,
          finish_reason: 'tool_calls',
          message: {
            role: 'assistant',
            content: 'سلام',
            reasoning: 'I think',
            tool_calls: [
              { index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
              { index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '' } },
            ],
          },
        },
        { index: 1, finish_reason: 'length', message: { content: 'other' } },
      ],
    });
  });

  test('says the same however it was cut into parts', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (parts) => {
        const { json } = assembled([chunk({ role: 'assistant' }), ...parts.map((content) => chunk({ content }))]);
        const [choice] = (json as { choices: { message: { content?: string } }[] }).choices;
        expect(choice!.message.content ?? '').toBe(parts.join(''));
      }),
    );
  });

  test('holds no more than it may, however much comes, and counts the rest', () => {
    const part = 'x'.repeat(1000);
    const { assembly, json } = assembled(
      Array.from({ length: 5000 }, (_, i) => chunk({ content: part, list: [{ index: i, a: {} }], [`m${i}`]: [1] })),
      10_000,
    );
    expect(JSON.stringify(json).length).toBeLessThan(12_000);
    expect(assembly.leftOutBytes).toBeGreaterThan(4_900_000);
  });

  test('of which nothing came is none', () => {
    expect(new Assembly(1).completion()).toBe(null);
  });

  test('may have any shape at all', () => {
    const names = fc.constantFrom('content', '__proto__', 'constructor', 'tool_calls', 'index', 'a');
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 6 },
        fc.constantFrom<unknown>(null, 'text', 1, true, [], {}),
        fc.array(tie('value'), { maxLength: 3 }),
        fc
          .array(fc.tuple(names, tie('value')), { maxLength: 3 })
          .map((entries) =>
            JSON.parse(
              JSON.stringify(
                entries.reduce<object>(
                  (all, [key, each]) =>
                    Object.defineProperty(all, key, { value: each, enumerable: true, configurable: true }),
                  {},
                ),
              ),
            ),
          ),
      ),
    }));
    fc.assert(
      fc.property(fc.array(value), (deltas) => {
        const chunks = deltas.map((delta) => ({ choices: [delta, { delta }] }));
        assembled([head, ...(chunks as JsonObject[])]);
        expect(({} as Record<string, unknown>)['content']).toBe(undefined);
      }),
    );
  });
});
