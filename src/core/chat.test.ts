import { expect, test } from 'vitest';
import { deltaOf, finishReasonOf, messageOf, saysSomething, textOf, usageOf } from './chat.ts';
import { unknownUsage } from './usage.ts';

const price = { input: 1, output: 2 };

test('the cost that an upstream names goes before any price', () => {
  const usage = { prompt_tokens: 10, completion_tokens: 5, cost: 0.25 };
  expect(usageOf({ usage }, price)).toStrictEqual({
    inputTokens: 10,
    outputTokens: 5,
    cachedInputTokens: null,
    reasoningTokens: null,
    costUsd: 0.25,
    source: 'upstream',
  });
});

test('a cost of 0 that an upstream names is 0, not unknown', () => {
  expect(usageOf({ usage: { prompt_tokens: 1, completion_tokens: 1, cost: 0 } }, price).costUsd).toBe(0);
});

test('details of what was cached and thought are read where they are', () => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 5,
    prompt_tokens_details: { cached_tokens: 4 },
    completion_tokens_details: { reasoning_tokens: 3 },
  };
  expect(usageOf({ usage }, null)).toMatchObject({ cachedInputTokens: 4, reasoningTokens: 3, costUsd: null });
});

test.each([[undefined], [null], ['many'], [[1]], [12]])(
  'without a usage object (%j) everything is unknown',
  (usage) => {
    expect(usageOf({ usage }, price)).toStrictEqual(unknownUsage);
  },
);

test.each([[-1], ['10'], [null], [{}], [1e300], [2 ** 53], [1.5], [Number.NaN]])(
  'a count of %j is no count',
  (count) => {
    const usage = usageOf({ usage: { prompt_tokens: count, completion_tokens: 5 } }, price);
    expect(usage).toMatchObject({ inputTokens: null, outputTokens: 5, costUsd: null, source: 'upstream' });
  },
);

test.each([
  [{ choices: [{ finish_reason: 'stop' }] }, 'stop'],
  [{ choices: [{ finish_reason: 'tool_calls' }, { finish_reason: 'stop' }] }, 'tool_calls'],
  [{ choices: [{ finish_reason: 'something_new' }] }, 'something_new'],
  [{ choices: [{ finish_reason: null }] }, null],
  [{ choices: [{}] }, null],
  [{ choices: [] }, null],
  [{ choices: [null] }, null],
  [{ choices: 'stop' }, null],
  [{}, null],
])('the finish reason of %j is %j: the upstream’s own or none', (completion, reason) => {
  expect(finishReasonOf(completion)).toBe(reason);
});

test.each([
  [{ content: 'a' }, true],
  [{ reasoning_content: 'hm' }, true],
  [{ tool_calls: [{ index: 0 }] }, true],
  [{ refusal: 'no' }, true],
  [{ role: 'assistant' }, false],
  [{ role: 'assistant', content: '' }, false],
  [{ content: null, tool_calls: [], refusal: null }, false],
  [{}, false],
])('whether a delta of %j says something is %j', (delta, says) => {
  expect(saysSomething(delta)).toBe(says);
});

test('the text of what has none is empty', () => {
  expect(textOf(null)).toBe('');
  expect(textOf(deltaOf({ choices: [] }))).toBe('');
  expect(textOf(messageOf({ choices: [{ message: { content: [{ type: 'text' }] } }] }))).toBe('');
  expect(textOf(messageOf({ choices: [{ message: { content: 'سلام' } }] }))).toBe('سلام');
});
