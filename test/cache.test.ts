import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import type { Answer, Asking } from './support/http.ts';
import { ask as get, errorOf, eventsOf, openStream, post, rowOf, rows as logged } from './support/http.ts';
import type { Behaviour, Upstream } from './support/model-service.ts';
import {
  beginStream,
  completion,
  doneEvent,
  event,
  fails,
  respond,
  says,
  startUpstream,
} from './support/model-service.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';

vi.setConfig({ testTimeout: 60_000 });

const tool = { id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"at":"it"}' } };

/** Answers by the last message: what a test wants to hear, so that each can have its own. */
const obedient: Behaviour = (request, response) => {
  const messages = request.body['messages'] as readonly { readonly content: string }[];
  const [, what = '', word = ''] = /^(\w+) ?(.*)$/.exec(messages.at(-1)?.content ?? '') ?? [];
  const behaviour = behaviours[what] ?? says(`echo ${what} ${word}`);
  return behaviour(request, response);
};

const withReason =
  (reason: string): Behaviour =>
  ({ body }, response) => {
    if (body['stream'] === true) {
      beginStream(response);
      response.write(event({ content: 'half' }));
      response.end(event({}, reason) + doneEvent);
      return;
    }
    const whole = completion('half') as { choices: { finish_reason: string }[] };
    whole.choices[0]!.finish_reason = reason;
    respond(response, 200, whole);
  };

let failures = 0;
const behaviours: Readonly<Record<string, Behaviour>> = {
  long: withReason('length'),
  filtered: withReason('content_filter'),
  tools: (_request, response) => respond(response, 200, completion('', { toolCalls: [tool] })),
  broken: fails(500),
  cut: (_request, response) => {
    beginStream(response);
    response.write(event({ content: 'half' }), () => response.destroy());
  },
  once: (request, response) => (failures++ === 0 ? says('first')(request, response) : fails(500)(request, response)),
};

let upstream: Upstream;
let mizan: Running;

beforeAll(async () => {
  upstream = await startUpstream({ real: obedient, other: obedient });
  const instance = { id: 'a', provider: 'mock', model: 'real' };
  mizan = await runMizan({
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, prices: { real: { input: 1, output: 1 } } },
    },
    models: {
      fast: { instances: [instance], health: everInUse, retries: { attempts: 1 } },
      always: { instances: [instance], cache: 'always' },
      tools: { instances: [instance], cache: { when: 'always', toolCalls: true } },
      off: { instances: [instance], cache: 'off' },
      brief: { instances: [instance], cache: { when: 'always', ttl: 0, staleIfError: 600 }, health: everInUse },
      stale: { instances: [instance], cache: { when: 'always', ttl: 0, staleWhileRevalidate: 600 } },
      paced: { instances: [instance], cache: { when: 'always', paceMs: 1 } },
    },
    agents: {
      fast: { model: 'fast' },
      exact: { model: 'fast', system: 'Be exact.', params: { temperature: 0 } },
      mine: { model: 'always', cache: 'private' },
    },
  });
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const deterministic = { temperature: 0 };

/** Asks in OpenAI's dialect, of a model, deterministically. */
async function chat(
  content: string,
  more: object = {},
  asking: Asking & { readonly as?: string } = {},
): Promise<Answer> {
  const { as = await mizan.token(), ...rest } = asking;
  const body = { model: 'fast', messages: [{ role: 'user', content }], ...deterministic, ...more };
  return post(`${mizan.url}/v1/chat/completions`, as, body, rest);
}

const cacheOf = (answer: Answer): string | null => answer.headers.get('x-mizan-cache');
const callsFor = (content: string): number =>
  upstream.requestsTo('real').filter(({ body }) => JSON.stringify(body).includes(content)).length;

describe('an answer that was given before', () => {
  test('is given again to the byte, at no cost, and says so', async () => {
    const first = await chat('Say one');
    const second = await chat('Say one');
    expect([first, second].map(cacheOf)).toEqual(['miss', 'hit']);
    expect(second.text).toBe(first.text);
    expect(second.headers.get('age')).toBe('0');
    expect(first.headers.get('age')).toBe(null);
    expect(second.headers.get('x-mizan-charged')).toBe('no');
    expect(second.headers.get('x-mizan-instance')).toBe('a');
    expect(second.headers.get('x-mizan-attempts')).toBe('0');
    expect(callsFor('Say one')).toBe(1);
    const rows = await Promise.all(
      [first, second].map(({ headers }) =>
        mizan.token().then((token) => rowOf(mizan.url, token, headers.get('x-request-id')!)),
      ),
    );
    expect(rows).toMatchObject([
      { cache: 'miss', attempts: 1, usage: { input_tokens: 7, output_tokens: 3, cost_usd: 0.00001 } },
      { cache: 'hit', attempts: 0, usage: { input_tokens: 7, output_tokens: 3, cost_usd: 0 }, finish_reason: 'stop' },
    ]);
  });

  test.each(dialects)('is streamed again as it was: $path', async ({ path, body, readStream }) => {
    const token = await mizan.token();
    const params = { ...deterministic, seed: path.length };
    const ask = () => post(`${mizan.url}${path}`, token, body('fast', { params }));
    const [first, second] = [await ask(), await ask()];
    expect([first, second].map(cacheOf)).toEqual(['miss', 'hit']);
    const told = (answer: Answer) =>
      answer.text.replaceAll(/"(?:id|cache|attempts|latency_ms|usage)":(?:"[^"]*"|[\d.]+|\{[^}]*\}),?/g, '');
    expect(told(second)).toBe(told(first));
    expect(readStream(second.text)).toMatchObject({ isComplete: true, finishes: ['stop'], error: null });
  });

  test('is marked as not charged in /ai-process', async () => {
    const token = await mizan.token();
    const body = { agent: 'exact', input: 'Say two' };
    const first = await post(`${mizan.url}/ai-process`, token, body);
    const second = await post(`${mizan.url}/ai-process`, token, body);
    expect(first.json).toMatchObject({ cache: 'miss', output: 'echo Say two', usage: { cost_usd: 0.00001 } });
    expect(second.json).toMatchObject({
      cache: 'hit',
      output: 'echo Say two',
      instance: 'a',
      usage: { input_tokens: 7, output_tokens: 3, cost_usd: 0, charged: false },
    });
    expect((first.json as { usage: object }).usage).not.toHaveProperty('charged');
  });

  test('serves both dialects, streamed or not, whichever came first', async () => {
    const token = await mizan.token();
    const forms = [
      { path: '/v1/chat/completions', stream: false },
      { path: '/v1/chat/completions', stream: true },
      { path: '/ai-process', stream: false },
      { path: '/ai-process', stream: true },
    ];
    for (const [i, first] of forms.entries()) {
      const content = `Say form ${i}`;
      const ask = async ({ path, stream }: (typeof forms)[number]) => {
        const body =
          path === '/ai-process'
            ? { agent: 'exact', input: content, stream }
            : { model: 'agent/exact', messages: [{ role: 'user', content }], stream };
        const answer = await post(`${mizan.url}${path}`, token, body);
        const said = !stream
          ? path === '/ai-process'
            ? (answer.json as { output: string }).output
            : (answer.json as { choices: { message: { content: string } }[] }).choices[0]!.message.content
          : (path === '/ai-process' ? aiProcess : openai).readStream(answer.text).output;
        return [cacheOf(answer), said];
      };
      expect(await ask(first)).toEqual(['miss', `echo Say form ${i}`]);
      for (const form of forms) expect(await ask(form)).toEqual(['hit', `echo Say form ${i}`]);
      expect(callsFor(content)).toBe(1);
    }
  });

  test.each([false, true])(
    'tells the usage at the end of a stream to those who ask (made streamed: %s)',
    async (stream) => {
      const content = `Say usage ${stream}`;
      await chat(content, { stream });
      const usages = (answer: Answer) => eventsOf(answer.text).filter(({ data }) => data.includes('"usage":{'));
      const asked = await chat(content, { stream: true, stream_options: { include_usage: true } });
      expect(usages(asked).map(({ data }) => JSON.parse(data))).toMatchObject([
        { choices: [], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } },
      ]);
      const notAsked = await chat(content, { stream: true });
      expect(usages(notAsked)).toEqual([]);
      expect([asked, notAsked].map(cacheOf)).toEqual(['hit', 'hit']);
      const whole = await chat(content);
      expect(whole.json).toMatchObject({
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: `echo ${content}` }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
      });
    },
  );

  test('can be replayed at a pace, word by word', async () => {
    const body = { model: 'paced', messages: [{ role: 'user', content: 'Say a few words' }] };
    const token = await mizan.token();
    await post(`${mizan.url}/v1/chat/completions`, token, body);
    const again = await post(`${mizan.url}/v1/chat/completions`, token, { ...body, stream: true });
    const { output, isComplete } = openai.readStream(again.text);
    expect([output, isComplete]).toEqual(['echo Say a few words', true]);
    expect(eventsOf(again.text).length).toBeGreaterThan(5);
    const { leave, until } = await openStream(`${mizan.url}/v1/chat/completions`, token, { ...body, stream: true });
    await until(/echo/);
    leave();
  });
});

describe('what is not cached', () => {
  const uncached: [what: string, body: object, cache: string, behaviour: string][] = [
    ['a request whose answer is a matter of chance', { temperature: 0.2 }, 'bypass', 'Say'],
    ['one that says nothing of chance', { temperature: undefined }, 'bypass', 'Say'],
    ['one to a model without a cache', { model: 'off' }, 'bypass', 'Say'],
    ['an answer that was cut by its limit', {}, 'miss', 'long'],
    ['an answer that was filtered', {}, 'miss', 'filtered'],
    ['a call of a tool', {}, 'miss', 'tools'],
    ['an error', {}, 'miss', 'broken'],
    ['a streamed answer that was cut by its limit', { stream: true }, 'miss', 'long'],
    ['a stream that broke', { stream: true }, 'miss', 'cut'],
  ];

  test.each(uncached)('%s', async (what, body, cache, behaviour) => {
    const content = `${behaviour} ${what}`;
    for (let i = 0; i < 2; i++) expect(cacheOf(await chat(content, body))).toBe(cache);
    expect(callsFor(content)).toBe(2);
  });

  test('another seed, and the same one is', async () => {
    const ask = async (seed: number) => cacheOf(await chat('Say seed', { temperature: 0.7, seed }));
    expect([await ask(1), await ask(2), await ask(1)]).toEqual(['miss', 'miss', 'hit']);
  });

  test('calls of tools are where that is asked for', async () => {
    const ask = () => chat('tools cached', { model: 'tools' });
    const [first, second] = [await ask(), await ask()];
    expect([first, second].map(cacheOf)).toEqual(['miss', 'hit']);
    expect(second.text).toBe(first.text);
    const streamed = await chat('tools cached', { model: 'tools', stream: true });
    expect(streamed.text).toContain('"tool_calls":[{"index":0,"id":"call_1"');
    expect(openai.readStream(streamed.text)).toMatchObject({ isComplete: true, finishes: ['tool_calls'] });
  });
});

describe('a caller', () => {
  const cacheControl = (value: string): Asking => ({ headers: { 'cache-control': value } });

  test('may ask for a new answer, which is kept', async () => {
    await chat('Say anew');
    expect(cacheOf(await chat('Say anew', {}, cacheControl('no-cache')))).toBe('miss');
    expect(cacheOf(await chat('Say anew', {}, cacheControl('max-age=600, no-transform')))).toBe('hit');
    expect(callsFor('Say anew')).toBe(2);
    expect(cacheOf(await chat('Say anew', {}, cacheControl('max-age=0')))).toBe('miss');
  });

  test('may have nothing kept', async () => {
    expect(cacheOf(await chat('Say unkept', {}, cacheControl('no-store')))).toBe('bypass');
    expect(cacheOf(await chat('Say unkept'))).toBe('miss');
  });

  test('may want nobody asked', async () => {
    const missing = await chat('Say nothing', {}, cacheControl('only-if-cached'));
    expect([missing.status, errorOf(missing.json).code]).toEqual([504, 'not_cached']);
    await chat('Say something');
    expect(cacheOf(await chat('Say something', {}, cacheControl('only-if-cached')))).toBe('hit');
    expect(callsFor('Say nothing')).toBe(0);
  });
});

describe('nobody sees what is not theirs', () => {
  test('two tenants that ask the same are two upstream calls', async () => {
    const tokens = await Promise.all(['ours', 'theirs'].map((tenant) => mizan.token({ tenant })));
    const answers = [];
    for (const as of [...tokens, ...tokens]) answers.push(cacheOf(await chat('Say secret', {}, { as })));
    expect(answers).toEqual(['miss', 'miss', 'hit', 'hit']);
    expect(callsFor('Say secret')).toBe(2);
  });

  test('nor, at an agent that says private, another of the same tenant', async () => {
    const tokens = await Promise.all(['ali', 'zaynab'].map((subject) => mizan.token({ subject })));
    const answers = [];
    for (const as of [...tokens, ...tokens]) {
      answers.push(cacheOf(await chat('Say private', { model: 'agent/mine' }, { as })));
    }
    expect(answers).toEqual(['miss', 'miss', 'hit', 'hit']);
  });
});

describe('an old answer', () => {
  test('is given where no other can be had', async () => {
    const first = await chat('once upon', { model: 'brief' });
    const second = await chat('once upon', { model: 'brief' });
    expect([first, second].map(cacheOf)).toEqual(['miss', 'hit']);
    expect(second.text).toBe(first.text);
    expect(second.headers.get('x-mizan-attempts')).toBe('3');
    expect(second.headers.get('age')).toBe('0');
    expect(second.headers.get('x-mizan-charged')).toBe('no');
  });

  test('is given while a new one is fetched, which is in the log', async () => {
    const token = await mizan.token({ tenant: 'stale' });
    const ask = () => chat('Say stale', { model: 'stale' }, { as: token });
    await ask();
    const old = await ask();
    expect([cacheOf(old), old.headers.get('age')]).toEqual(['hit', '0']);
    await upstream.next('real');
    await vi.waitFor(async () => {
      const results = (await logged(mizan.url, token)).map(({ cache }) => cache);
      expect(results.toSorted()).toEqual(['hit', 'miss', 'miss']);
    });
    expect(callsFor('Say stale')).toBe(2);
  });
});

describe('GET and DELETE /api/cache', () => {
  const refused = [
    ['GET', 'tenat=acme', 'tenat', 'There is no query parameter "tenat". Did you mean "tenant"?'],
    ['GET', 'model=fast', 'model', 'There is no query parameter "model". Known here: tenant.'],
    ['DELETE', 'modle=fast', 'modle', 'There is no query parameter "modle". Did you mean "model"?'],
    [
      'DELETE',
      'everything=1',
      'everything',
      'There is no query parameter "everything". Known here: agent, model, tenant.',
    ],
    ['DELETE', `agent=${'x'.repeat(301)}`, 'agent', 'agent must be the name of an agent.'],
    ['DELETE', 'model=a&model=b', 'model', 'model must be the name of a model.'],
  ] as const;

  test.each(refused)('%s with ?%s is refused, and says what was expected', async (method, query, param, message) => {
    const token = await mizan.token({ role: 'operator' });
    await chat('Say stay', {}, { as: token });
    const { status, json } = await get(`${mizan.url}/api/cache?${query}`, { method, token });
    expect(status).toBe(400);
    expect(errorOf(json)).toMatchObject({ code: 'invalid_request', param, message });
    expect(cacheOf(await chat('Say stay', {}, { as: token }))).toBe('hit');
  });

  test('tell and remove a tenant’s own, all of them or of an agent or a model', async () => {
    const as = await mizan.token({ role: 'operator', tenant: 'counted' });
    const held = async () => (await get(`${mizan.url}/api/cache`, { token: as })).json as { entries: number };
    const remove = async (query: string) => {
      const { status, json } = await get(`${mizan.url}/api/cache${query}`, { method: 'DELETE', token: as });
      return [status, json];
    };
    for (const model of ['fast', 'always', 'agent/exact']) await chat('Say counted', { model }, { as });
    expect(await held()).toMatchObject({ entries: 3, bytes: expect.any(Number) });
    expect(await remove('?agent=exact')).toMatchObject([200, { entries: 1, complete: true }]);
    expect(await remove('?model=always')).toMatchObject([200, { entries: 1, complete: true }]);
    expect(await remove('?agent=&model=')).toMatchObject([200, { entries: 1, complete: true }]);
    expect(await held()).toEqual({ entries: 0, bytes: 0 });
  });
});
