import type OpenAI from 'openai';
import { NotFoundError } from 'openai';
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionTool } from 'openai/resources/chat/completions';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { says, startUpstream } from './support/model-service.ts';
import { clientOf, mocked } from './support/openai-client.ts';

const key = 'sk-upstream-0123456789';
let upstream: Upstream;
let mizan: Running;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startUpstream({
    echo: says('Hello', ' there'),
  });
  mizan = await runMizan({
    providers: {
      sim: { kind: 'simulator' },
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, apiKey: key },
    },
    models: {
      simulated: { instances: [{ id: 'sim', provider: 'sim', model: 'simulator' }] },
      echo: mocked('echo'),
      nowhere: {},
    },
    agents: {
      assistant: { model: 'simulated', system: 'You are helpful.' },
      poet: { model: 'echo', system: 'You are a poet.', params: { temperature: 0.9, top_p: 0.5 } },
    },
  });
  client = await clientOf(mizan);
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const messages = [{ role: 'user', content: 'ما هو الميزان؟ 👩‍👩‍👧 Say it twice.' }] as const;

const weather: ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

describe('the official client', () => {
  test('has its chat answered, with usage and the finish reason', async () => {
    const answer = await client.chat.completions.create({ model: 'simulated', messages: [...messages] });
    expect(answer.object).toBe('chat.completion');
    expect(answer.choices).toHaveLength(1);
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(answer.choices[0]?.message).toMatchObject({
      role: 'assistant',
      content: expect.stringMatching(/\p{Script=Arabic}/u),
    });
    const { prompt_tokens: input, completion_tokens: output, total_tokens: total } = answer.usage!;
    expect(input).toBeGreaterThan(0);
    expect(output).toBeGreaterThan(0);
    expect(total).toBe(input + output);
  });

  test.for(['simulated', 'agent/assistant', 'sim/simulator', 'echo', 'mock/echo'])(
    'reads the same text from %s, streamed and not',
    async (model) => {
      const whole = await client.chat.completions.create({ model, messages: [...messages] });
      const stream = await client.chat.completions.create({ model, messages: [...messages], stream: true });
      let text = '';
      const finishes: string[] = [];
      let deltas = 0;
      for await (const chunk of stream) {
        const choice = chunk.choices[0];
        text += choice?.delta.content ?? '';
        if (choice?.delta.content) deltas++;
        if (choice?.finish_reason) finishes.push(choice.finish_reason);
        expect(chunk.usage ?? null).toBeNull();
      }
      expect(text).toBe(whole.choices[0]?.message.content);
      expect(text).not.toBe('');
      expect(deltas).toBeGreaterThan(1);
      expect(finishes).toEqual(['stop']);
    },
  );

  test.for(['simulated', 'echo'])('gets the usage of a stream of %s where it asks for it', async (model) => {
    const whole = await client.chat.completions.create({ model, messages: [...messages] });
    const stream = await client.chat.completions.create({
      model,
      messages: [...messages],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect(chunks.slice(0, -1).filter((chunk) => chunk.usage)).toEqual([]);
  });

  test('calls a tool and answers with its result', async () => {
    const asked: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'What is the weather in Mecca?' }];
    const { choices } = await client.chat.completions.create({ model: 'simulated', messages: asked, tools: [weather] });
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    const call = choices[0]!.message.tool_calls![0]!;
    expect(call).toMatchObject({ type: 'function', id: expect.stringMatching(/./), function: { name: 'get_weather' } });
    if (call.type !== 'function') throw new Error('not a function');
    expect(JSON.parse(call.function.arguments)).toEqual({ city: expect.any(String) });

    const { choices: after } = await client.chat.completions.create({
      model: 'simulated',
      messages: [...asked, choices[0]!.message, { role: 'tool', tool_call_id: call.id, content: 'It is 41 °C' }],
      tools: [weather],
    });
    expect(after[0]).toMatchObject({ finish_reason: 'stop', message: { content: expect.stringContaining('41') } });
  });

  test('assembles the same tool call from a stream', async () => {
    const order = {
      model: 'simulated',
      messages: [{ role: 'user' as const, content: 'What is the weather in Mecca?' }],
      tools: [weather],
      tool_choice: 'required' as const,
    };
    const whole = await client.chat.completions.create(order);
    const streamed = await client.chat.completions.stream(order).finalChatCompletion();
    expect(streamed.choices[0]?.finish_reason).toBe('tool_calls');
    const calls = (answer: ChatCompletion) => answer.choices[0]?.message.tool_calls ?? [];
    expect(calls(streamed)).toHaveLength(1);
    expect(calls(streamed)).toMatchObject(calls(whole));
  });

  test('gets JSON of the schema that response_format asks for', async () => {
    const schema = {
      type: 'object',
      properties: { city: { type: 'string' }, degrees: { type: 'integer', minimum: 30, maximum: 50 } },
      required: ['city', 'degrees'],
      additionalProperties: false,
    };
    const answer = await client.chat.completions.create({
      model: 'simulated',
      messages: [...messages],
      response_format: { type: 'json_schema', json_schema: { name: 'weather', schema, strict: true } },
    });
    const made = JSON.parse(answer.choices[0]!.message.content!) as { readonly degrees: number };
    expect(Object.keys(made).toSorted()).toEqual(['city', 'degrees']);
    expect(made.degrees).toBeGreaterThanOrEqual(30);
    expect(made.degrees).toBeLessThanOrEqual(50);
  });

  test('sends pictures', async () => {
    const content: OpenAI.ChatCompletionContentPart[] = [
      { type: 'text', text: 'What is in this picture?' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'low' } },
    ];
    await client.chat.completions.create({ model: 'echo', messages: [{ role: 'user', content }] });
    expect(upstream.requestsTo('echo').at(-1)!.body['messages']).toEqual([{ role: 'user', content }]);
    const simulated = await client.chat.completions.create({
      model: 'simulated',
      messages: [{ role: 'user', content }],
    });
    expect(simulated.choices[0]?.finish_reason).toBe('stop');
    expect(simulated.usage!.prompt_tokens).toBeGreaterThan(85);
  });

  test('has every field it sends passed on untouched but the model', async () => {
    const body = {
      messages: [{ role: 'user', content: 'x', cache_control: { type: 'ephemeral' } }],
      model: 'echo',
      frequency_penalty: 0.1,
      seed: 7,
      logit_bias: { '50256': -100 },
      metadata: { case: '7', nested: [1, [2, { three: null }]] },
      a_field_of_the_year_2030: { deeply: [{ unknown: true }] },
      clé: 'ق 👍',
    };
    await client.chat.completions.create(body as unknown as OpenAI.ChatCompletionCreateParamsNonStreaming);
    const { bytes } = upstream.requestsTo('echo').at(-1)!;
    expect(bytes.toString()).toBe(JSON.stringify(body));
  });

  test('has nothing but stream_options added to a stream, and its own options in there kept', async () => {
    const body = {
      model: 'echo',
      messages: [{ role: 'user' as const, content: 'x' }],
      stream: true as const,
      nothing: null,
    };
    for await (const _ of await client.chat.completions.create(body));
    expect(upstream.requestsTo('echo').at(-1)!.body).toEqual({
      ...body,
      stream_options: { include_usage: true },
    });
    const options = { include_obfuscation: false };
    for await (const _ of await client.chat.completions.create({ ...body, stream_options: options }));
    expect(upstream.requestsTo('echo').at(-1)!.body['stream_options']).toEqual({ ...options, include_usage: true });
  });

  test('keeps the bytes of numbers and the order and spaces of what is sent', async () => {
    const body =
      '{ "messages":[ {"content":"\\u0645\\ud83d\\ude00","role":"user"} ],\n\t"top_p" : 1.000, "seed": 12345678901234567890, "model" :"echo" , "n": 1E0 }';
    const answer = await fetch(`${mizan.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${client.apiKey}`, 'content-type': 'application/json; charset=utf-8' },
      body,
    });
    expect(answer.status).toBe(200);
    expect(upstream.requestsTo('echo').at(-1)!.bytes.toString()).toBe(body);
  });

  test('reaches an agent, whose prompt comes first and whose parameters yield to the caller’s', async () => {
    await client.chat.completions.create({ model: 'agent/poet', messages: [...messages], top_p: 0.25 });
    expect(upstream.requestsTo('echo').at(-1)!.body).toEqual({
      model: 'echo',
      messages: [{ role: 'system', content: 'You are a poet.' }, ...messages],
      temperature: 0.9,
      top_p: 0.25,
    });
  });

  test('lists what can be called, and finds each by its name', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) {
      ids.push(model.id);
      expect(await client.models.retrieve(model.id)).toEqual(model);
    }
    expect(ids.toSorted()).toEqual(['agent/assistant', 'agent/poet', 'echo', 'nowhere', 'simulated']);
  });

  test('lists to an identity with agents of its own nothing but those', async () => {
    const restricted = await clientOf(mizan, { agents: ['poet'] });
    const { data } = await restricted.models.list();
    expect(data.map(({ id }) => id)).toEqual(['agent/poet']);
    await expect(restricted.models.retrieve('agent/assistant')).rejects.toBeInstanceOf(NotFoundError);
  });
});
