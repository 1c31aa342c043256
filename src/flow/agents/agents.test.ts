import { describe, expect, test } from 'vitest';
import { principal as someone } from '../../../test/support/calls.ts';
import type { ChatRequest } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import { JsonDocument } from '../../core/json-document.ts';
import type { Principal } from '../../core/principal.ts';
import type { Agent } from './agents.ts';
import { Agents } from './agents.ts';

const assistant: Agent = {
  name: 'assistant',
  model: 'fast',
  system: 'أجب "بإيجاز".\n',
  params: { temperature: 0.2, max_tokens: 100, stop: null },
};
const plain: Agent = { name: 'plain', model: 'sim/x', system: null, params: {} };
const agents = new Agents(
  new Map([
    ['assistant', assistant],
    ['plain', plain],
  ]),
  'assistant',
);

const anyone: Principal = someone;
const limited: Principal = { ...anyone, agents: ['plain'] };

function request(target: ChatRequest['target'], body = '{"model":"m","messages":[{"role":"user"}]}'): ChatRequest {
  return { target, body: JsonDocument.parse(Buffer.from(body)), stream: true, wantsUsage: true, session: null };
}

function sent(target: ChatRequest['target'], body?: string): unknown {
  const { chat } = agents.assign(request(target, body), anyone);
  return JSON.parse(chat.body.edited(chat.edits).toString());
}

function refusal(target: ChatRequest['target'], principal = anyone, from = agents): MizanError {
  try {
    from.assign(request(target), principal);
  } catch (error) {
    if (error instanceof MizanError) return error;
    throw error;
  }
  throw new Error('it was assigned');
}

describe('a request', () => {
  test('without an agent goes to the default agent', () => {
    expect(agents.assign(request({ agent: null }), anyone)).toMatchObject({ agent: assistant, model: 'fast' });
  });

  test('goes to the agent it names', () => {
    expect(agents.assign(request({ agent: 'plain' }), anyone)).toMatchObject({ agent: plain, model: 'sim/x' });
  });

  test('may name an agent where a model is expected', () => {
    expect(agents.assign(request({ model: 'agent/plain' }), anyone)).toMatchObject({ agent: plain, model: 'sim/x' });
  });

  test('for a model has no agent, and its body stays as it is', () => {
    const assignment = agents.assign(request({ model: 'fast' }), anyone);
    expect(assignment).toMatchObject({
      agent: null,
      model: 'fast',
      chat: { edits: [], stream: true, wantsUsage: true },
    });
  });

  test('keeps its body, and how it wants to be answered', () => {
    const given = request({ agent: 'plain' });
    expect(agents.assign(given, anyone).chat).toMatchObject({ body: given.body, stream: true, wantsUsage: true });
  });
});

describe('an agent', () => {
  test('has its system prompt before the caller’s messages', () => {
    expect(sent({ agent: null }, '{"messages":[{"role":"system","content":"x"},{"role":"user"}]}')).toMatchObject({
      messages: [{ role: 'system', content: 'أجب "بإيجاز".\n' }, { role: 'system', content: 'x' }, { role: 'user' }],
    });
  });

  test('gives its params where the caller gives none', () => {
    expect(sent({ agent: null })).toMatchObject({ temperature: 0.2, max_tokens: 100, stop: null });
  });

  test.each([
    ['another value', '1.5', 1.5],
    ['0', '0', 0],
    ['null', 'null', null],
    ['false', 'false', false],
  ])('leaves the caller’s own params: %s', (_what, given, value) => {
    const body = sent({ agent: null }, `{"messages":[],"temperature":${given}}`);
    expect(body).toMatchObject({ temperature: value, max_tokens: 100 });
  });

  test('without a system prompt or params changes nothing', () => {
    expect(agents.assign(request({ agent: 'plain' }), anyone).chat.edits).toStrictEqual([]);
  });
});

describe('an agent nobody knows', () => {
  test('is refused with the nearest name, and with the field that named it', () => {
    expect(refusal({ agent: 'asistant' })).toMatchObject({
      code: 'unknown_agent',
      status: 404,
      param: 'agent',
      message: 'There is no agent "asistant". Did you mean "assistant"?',
    });
    expect(refusal({ model: 'agent/asistant' })).toMatchObject({ code: 'unknown_agent', param: 'model' });
  });

  test.each(['', 'toString', '__proto__', 'x'.repeat(10_000)])('is refused however it is called: %j', (agent) => {
    expect(refusal({ agent })).toMatchObject({ code: 'unknown_agent' });
    expect(refusal({ agent }).message.length).toBeLessThan(200);
  });

  test('is what a request without one wants where none is configured', () => {
    expect(refusal({ agent: null }, anyone, new Agents(new Map(), null))).toMatchObject({ code: 'unknown_agent' });
  });
});

describe('an identity that is limited to some agents', () => {
  test('may call them, by either name', () => {
    expect(agents.assign(request({ agent: 'plain' }), limited).agent).toBe(plain);
    expect(agents.assign(request({ model: 'agent/plain' }), limited).agent).toBe(plain);
  });

  test('may call no other, not even by default', () => {
    expect(refusal({ agent: 'assistant' }, limited)).toMatchObject({ code: 'forbidden', status: 403 });
    expect(refusal({ model: 'agent/assistant' }, limited)).toMatchObject({ code: 'forbidden' });
    expect(refusal({ agent: null }, limited)).toMatchObject({ code: 'forbidden' });
  });

  test('may call no model directly', () => {
    expect(refusal({ model: 'fast' }, limited)).toMatchObject({ code: 'forbidden' });
    expect(refusal({ model: 'sim/x' }, limited)).toMatchObject({ code: 'forbidden' });
  });

  test('to none may call nothing', () => {
    expect(refusal({ agent: 'plain' }, { ...anyone, agents: [] })).toMatchObject({ code: 'forbidden' });
  });
});

test('agents are listed in the config’s order', () => {
  expect([...agents.list()].map(({ name }) => name)).toStrictEqual(['assistant', 'plain']);
});
