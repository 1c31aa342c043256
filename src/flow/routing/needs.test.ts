import { describe, expect, test } from 'vitest';
import type { ChatRequest } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import { JsonDocument } from '../../core/json-document.ts';
import { RequestNeeds } from './needs.ts';

const hello = { role: 'user', content: 'Hi' };

function needsOf(
  body: JsonObject,
  given: { session?: string; system?: string; params?: JsonObject } = {},
): RequestNeeds {
  const request: ChatRequest = {
    target: { model: 'm' },
    body: JsonDocument.of({ model: 'm', messages: [hello], ...body }),
    stream: false,
    wantsUsage: false,
    session: given.session ?? null,
  };
  return new RequestNeeds(request, { system: given.system ?? null, params: given.params ?? {} });
}

const picture = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
const text = (content: string) => ({ type: 'text', text: content });

describe('a request needs', () => {
  test.each<[what: string, body: JsonObject, needed: object]>([
    ['nothing special for text', {}, { vision: false, tools: false, jsonSchema: false, maxOutputTokens: null }],
    ['eyes for a picture', { messages: [hello, { role: 'user', content: [text('?'), picture] }] }, { vision: true }],
    ['no eyes for text in parts', { messages: [{ role: 'user', content: [text('?')] }] }, { vision: false }],
    ['tools for tools', { tools: [{ type: 'function', function: { name: 'f' } }] }, { tools: true }],
    ['no tools for an empty list', { tools: [] }, { tools: false }],
    ['a schema for a schema', { response_format: { type: 'json_schema', json_schema: {} } }, { jsonSchema: true }],
    ['none for plain JSON', { response_format: { type: 'json_object' } }, { jsonSchema: false }],
    ['room for what it allows', { max_tokens: 7 }, { maxOutputTokens: 7 }],
    ['room by the newer name', { max_tokens: 7, max_completion_tokens: 9 }, { maxOutputTokens: 9 }],
    ['room by the larger of two', { max_tokens: 7, max_completion_tokens: 1 }, { maxOutputTokens: 7 }],
    ['any room where it asks for less than a token', { max_tokens: -1000 }, { maxOutputTokens: null }],
    ['any room where one of two is none', { max_tokens: 7, max_completion_tokens: 0 }, { maxOutputTokens: null }],
    ['room for whole tokens', { max_tokens: 10.5 }, { maxOutputTokens: 11 }],
    ['no more room than there is anywhere', { max_tokens: 1e308 }, { maxOutputTokens: 100_000_000 }],
  ])('%s', (_what, body, needed) => {
    const { vision, tools, jsonSchema, maxOutputTokens } = needsOf(body);
    expect({ vision, tools, jsonSchema, maxOutputTokens }).toMatchObject(needed);
  });

  test('what its agent’s parameters ask for, unless it says otherwise itself', () => {
    const tools = [{ type: 'function', function: { name: 'weigh' } }];
    const params = { tools, response_format: { type: 'json_schema', json_schema: {} }, max_tokens: 7 };
    expect(needsOf({}, { params })).toMatchObject({ tools: true, jsonSchema: true, maxOutputTokens: 7 });
    expect(needsOf({}, { params }).inputTokens).toBe(needsOf({ tools }).inputTokens);
    const own = { tools: [], response_format: null, max_tokens: 9 };
    expect(needsOf(own, { params })).toMatchObject({ tools: false, jsonSchema: false, maxOutputTokens: 9 });
  });

  test.each<[JsonObject]>([
    [{ messages: [{ role: 'user', content: null }] }],
    [{ messages: [{ role: 'user', content: [null, 'text', 7, [], {}] }] }],
    [{ messages: [{ role: 'assistant', tool_calls: null }], tools: 'no', response_format: 7, max_tokens: 'many' }],
  ])('are read of a body that only the upstream may refuse: %j', (body) => {
    const needs = needsOf(body);
    expect(needs).toMatchObject({ vision: false, tools: false, jsonSchema: false, maxOutputTokens: null });
    expect(needs.inputTokens).toBeGreaterThan(0);
    expect(typeof needs.affinity).toBe('string');
  });
});

describe('the estimate', () => {
  test('grows with everything that is sent', () => {
    const plain = needsOf({}).inputTokens;
    const calls = [{ id: 'c', type: 'function', function: { name: 'weigh', arguments: '{"what":"gold"}' } }];
    for (const more of [
      needsOf({}, { system: 'You weigh gold.' }),
      needsOf({ messages: [hello, hello] }),
      needsOf({ messages: [{ ...hello, tool_calls: calls }] }),
      needsOf({ tools: [{ type: 'function', function: { name: 'weigh' } }] }),
      needsOf({ messages: [{ role: 'user', content: [text('Hi there, what is this?')] }] }),
    ]) {
      expect(more.inputTokens).toBeGreaterThan(plain);
    }
    expect(needsOf({ messages: [{ role: 'user', content: [picture] }] }).inputTokens).toBeGreaterThan(1000);
  });
});

describe('requests belong together', () => {
  const story = 'Once upon a time. '.repeat(200);

  test('by their session, whatever they say', () => {
    expect(needsOf({}, { session: 's' }).affinity).toBe(needsOf({ messages: [] }, { session: 's' }).affinity);
  });

  test('by the beginning of their prompt, however they go on', () => {
    const one = needsOf({ messages: [{ role: 'system', content: story }, hello] });
    const other = needsOf({
      messages: [
        { role: 'system', content: story },
        { role: 'user', content: 'Bye' },
      ],
    });
    expect(one.affinity).toBe(other.affinity);
    expect(one.affinity).toHaveLength(2048);
  });

  test('and apart by another agent’s system prompt', () => {
    expect(needsOf({}, { system: 'A' }).affinity).not.toBe(needsOf({}, { system: 'B' }).affinity);
  });
});
