import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dialects } from './support/dialects.ts';
import type { Answer } from './support/http.ts';
import { ask, errorOf, post, rowOf, rows } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { fails, says, startUpstream } from './support/model-service.ts';

let upstream: Upstream;
let mizan: Running;
let token: string;

const picture = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
const tool = { type: 'function', function: { name: 'weigh', parameters: { type: 'object' } } };
const schema = { type: 'json_schema', json_schema: { name: 'weight', schema: { type: 'object' } } };
const long = 'x'.repeat(1400);

/** Instances in the order in which they are asked; each asks for an upstream model of its own name. */
const inOrder = (...given: readonly (string | Settings)[]) => ({
  strategy: 'priority',
  instances: given
    .map((each) => (typeof each === 'string' ? { id: each } : each))
    .map((each, i) => ({ provider: 'mock', model: each.id, priority: i + 1, ...each })),
});

interface Settings {
  readonly id: string;
  readonly contextLength?: number;
  readonly capabilities?: object;
}

const small = { id: 'small', contextLength: 100 };
const out = { consecutiveFailures: 2, ejectionMs: 60_000, maxEjectionMs: 60_000 };

beforeAll(async () => {
  upstream = await startUpstream({
    ...Object.fromEntries(['good', 'other', 'small', 'large', 'lenient', 'unable', 'able'].map((id) => [id, says(id)])),
    broken: fails(500, 'Out of memory'),
    refusing: fails(401),
    limiting: fails(429, 'Slow down', { 'retry-after': '30' }),
    picky: fails(400, 'This was flagged by our moderation'),
    forgetful: fails(400, 'This goes over our maximum context length'),
  });
  const models: Record<string, object> = {
    explained: {
      ...inOrder({ id: 'unable', capabilities: { vision: false } }, small, 'good', 'other'),
      fallbacks: { any: ['lenient'], contextLength: ['sized'] },
    },
    turns: { instances: ['good', 'other'].map((id) => ({ id, provider: 'mock', model: id })) },
    sized: inOrder(small, { id: 'large', contextLength: 4000 }),
    tight: inOrder(small),
    bounded: { ...inOrder(small), fallbacks: { any: ['lenient'], contextLength: ['tight', 'sized'] } },
    unsized: { ...inOrder('forgetful', 'good'), fallbacks: { any: ['lenient'], contextLength: ['sized'] } },
    lenient: inOrder('lenient'),
    strict: { ...inOrder('picky', 'good'), fallbacks: { any: ['turns'], contentPolicy: ['lenient'] } },
    'no-vision': inOrder({ id: 'unable', capabilities: { vision: false } }),
    ejected: { ...inOrder('broken', 'good'), health: out },
    locked: inOrder('refusing', 'good'),
    paused: inOrder('limiting', 'good'),
    sticky: {
      strategy: 'sticky',
      instances: ['a', 'b', 'c', 'd'].map((id) => ({ id, provider: 'mock', model: 'good' })),
    },
  };
  for (const capability of ['vision', 'tools', 'jsonSchema']) {
    models[capability] = inOrder({ id: 'unable', capabilities: { [capability]: false } }, 'able');
  }
  mizan = await runMizan({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models,
    agents: {
      ...Object.fromEntries(Object.keys(models).map((model) => [model, { model }])),
      weigher: { model: 'tools', params: { tools: [tool] } },
      talker: { model: 'sized', params: { max_tokens: 500 } },
    },
    defaultAgent: 'turns',
  });
  token = await mizan.token();
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const chat = (model: string, content: unknown = 'Hi', more: object = {}, by = token) =>
  post(`${mizan.url}/v1/chat/completions`, by, { model, messages: [{ role: 'user', content }], ...more });
const explain = (body: object, by = token) => post(`${mizan.url}/api/route/explain`, by, body);
const header = (answer: Answer, name: string) => answer.headers.get(`x-mizan-${name}`);
/** Who answered, after how many attempts. */
const story = (answer: Answer) => [
  answer.status,
  ...['model', 'instance', 'attempts'].map((name) => header(answer, name)),
];
const find = (id: string, by = token) => ask(`${mizan.url}/api/requests/${id}`, { token: by });

interface ShownInstance {
  readonly of: string;
  readonly id: string;
  readonly state: string;
  readonly reason: string | null;
  readonly next_try_ms: number | null;
}

async function instance(model: string, id: string): Promise<ShownInstance> {
  const { json } = await ask(`${mizan.url}/api/instances`, { token });
  const { instances } = json as { readonly instances: readonly ShownInstance[] };
  return instances.find((each) => each.of === model && each.id === id)!;
}

describe('POST /api/route/explain', () => {
  const messages = [{ role: 'user', content: [{ type: 'text', text: long }, picture] }];

  test.for([
    ['/v1/chat/completions', { model: 'explained', messages }, null],
    ['/ai-process', { agent: 'explained', input: messages }, 'explained'],
  ] as const)('says who would be asked and who not, and why: a body of %s', async ([, body, agent]) => {
    const mine = await mizan.token({ tenant: 'curious' });
    const before = upstream.total;
    const { status, json } = await explain(body, mine);
    expect(status).toBe(200);
    expect(json).toMatchObject({
      agent,
      model: 'explained',
      needs: { vision: true, tools: false, json_schema: false, input_tokens: 1473, max_output_tokens: null },
      chosen: { model: 'explained', instance: 'good', because: expect.stringContaining('tier') },
      models: [
        {
          id: 'explained',
          strategy: 'priority',
          when: null,
          waiting: 0,
          candidates: [
            { id: 'good', provider: 'mock', model: 'good', state: 'healthy', reason: null, next_try_ms: null },
            { id: 'other', state: 'healthy', in_flight: 0 },
          ],
          excluded: [
            { instance: 'unable', reason: 'no_vision', detail: 'it takes no images', again_ms: null },
            {
              instance: 'small',
              reason: 'too_long',
              detail: 'it takes 100 tokens, and about 1473 are needed',
              again_ms: null,
            },
          ],
        },
        { id: 'lenient', candidates: [{ id: 'lenient' }], excluded: [] },
        { id: 'sized', candidates: [{ id: 'large' }], excluded: [{ instance: 'small', reason: 'too_long' }] },
      ],
      plan: [
        { model: 'explained', instance: 'good', when: null },
        { model: 'explained', instance: 'other', when: null },
        { model: 'lenient', instance: 'lenient', when: expect.stringContaining('no instance left') },
        { model: 'sized', instance: 'large', when: expect.stringContaining('too long') },
      ],
    });
    expect(upstream.total).toBe(before);
    expect(await rows(mizan.url, mine)).toEqual([]);
  });

  test('changes nothing: whoever is said to be chosen is chosen, however often that was asked', async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const chosen: string[] = [];
      for (let j = 0; j < 3; j++) {
        const { json } = await explain({ input: 'x' });
        chosen.push((json as { readonly chosen: { readonly instance: string } }).chosen.instance);
      }
      const [said] = chosen;
      expect(chosen).toEqual([said, said, said]);
      expect(header(await chat('turns'), 'instance')).toBe(said);
      seen.add(said!);
    }
    expect([...seen].toSorted()).toEqual(['good', 'other']);
  });

  test.for([
    ['the model itself', 'sized', { model: 'sized', instance: 'large', because: expect.any(String) }],
    [
      'the fallback for long prompts that fits',
      'bounded',
      { model: 'sized', instance: 'large', because: expect.any(String) },
    ],
    ['nobody where none fits', 'tight', null],
  ] as const)('names for too long a prompt whom the request goes to: %s', async ([, model, chosen]) => {
    const { json } = await explain({ model, messages: [{ role: 'user', content: long }] });
    expect((json as { readonly chosen: object | null }).chosen).toEqual(chosen);
  });

  test('refuses what the request itself would be refused for', async () => {
    const plain = [{ role: 'user', content: 'x' }];
    const limited = await mizan.token({ agents: ['turns'] });
    const viewer = await mizan.token({ role: 'viewer' });
    const refusal = async (body: object, by = token) => {
      const { status, json } = await explain(body, by);
      return [status, errorOf(json).code];
    };
    expect(await refusal({ model: 'imaginary', messages: plain })).toEqual([404, 'unknown_model']);
    expect(await refusal({ agent: 'imaginary', input: 'x' })).toEqual([404, 'unknown_agent']);
    expect(await refusal({ inptu: 'x' })).toEqual([400, 'invalid_request']);
    expect(await refusal({ model: 'turns', messages: plain }, limited)).toEqual([403, 'forbidden']);
    expect(await refusal({ input: 'x' }, viewer)).toEqual([403, 'forbidden']);
  });
});

describe('GET /api/instances', () => {
  test.for([
    ['ejected', 'broken', 2, 'mock answered with status 500.', 60_000],
    ['locked', 'refusing', 1, 'mock refused the key or account it is called with.', 600_000],
    ['paused', 'limiting', 1, 'mock answered with status 429.', 30_000],
  ] as const)(
    'shows that an instance is %s, why in our own words, and when it is tried next',
    async ([state, id, failures, reason, ms]) => {
      expect(await instance(state, id)).toMatchObject({ state: 'healthy', reason: null, next_try_ms: null });
      for (let i = 0; i < failures; i++) expect(story(await chat(state))).toEqual([200, state, 'good', '2']);
      const shown = await instance(state, id);
      expect(shown).toMatchObject({ state, reason });
      expect(shown.next_try_ms).toBeGreaterThan(0);
      expect(shown.next_try_ms).toBeLessThanOrEqual(ms);
      expect(await instance(state, 'good')).toMatchObject({ state: 'healthy', next_try_ms: null });
      const { json } = await explain({ model: state, messages: [{ role: 'user', content: 'x' }] });
      expect(json).toMatchObject({
        chosen: { instance: 'good' },
        models: [{ excluded: [{ instance: id, reason: state, detail: reason, again_ms: expect.any(Number) }] }],
      });
      expect(story(await chat(state))).toEqual([200, state, 'good', '1']);
      expect(upstream.requestsTo(id)).toHaveLength(failures);
    },
  );

  test('is for everyone who may look, and for nobody else', async () => {
    const viewer = await mizan.token({ role: 'viewer' });
    expect((await ask(`${mizan.url}/api/instances`, { token: viewer })).status).toBe(200);
    expect((await ask(`${mizan.url}/api/instances`)).status).toBe(401);
  });
});

describe('an instance that can’t', () => {
  test.for([
    ['vision', [picture], {}],
    ['tools', 'Weigh it', { tools: [tool] }],
    ['jsonSchema', 'Weigh it', { response_format: schema }],
  ] as const)('is never sent what needs it: %s', async ([model, content, more]) => {
    for (let i = 0; i < 3; i++) expect(story(await chat(model, content, more))).toEqual([200, model, 'able', '1']);
    expect(story(await chat(model, 'Hi'))).toEqual([200, model, 'unable', '1']);
    const sent = upstream.requestsTo('unable').map(({ bytes }) => bytes.toString());
    expect(sent.filter((text) => /image_url|"tools"|json_schema/.test(text))).toEqual([]);
  });

  test('is not sent what an agent’s own parameters need either', async () => {
    const answer = await post(`${mizan.url}/ai-process`, token, { agent: 'weigher', input: 'x' });
    expect(story(answer)).toEqual([200, 'tools', 'able', '1']);
  });

  test('is not asked where it is the only one: the caller is told why', async () => {
    const before = upstream.total;
    const { status, json } = await chat('no-vision', [picture]);
    expect(status).toBe(400);
    expect(errorOf(json)).toMatchObject({
      code: 'unsupported_by_model',
      message: 'No instance of "no-vision" can: it takes no images.',
    });
    expect(upstream.total).toBe(before);
  });

  test('is not found out by a message that is no message: that is between the caller and the upstream', async () => {
    expect(story(await chat('vision', [null, 'x', 7]))).toEqual([200, 'vision', 'unable', '1']);
    expect(story(await chat('sized', [null, 'x', 7]))).toEqual([200, 'sized', 'small', '1']);
  });
});

describe('too long a prompt', () => {
  test('goes to the instance that it fits into, with the answer that it allows', async () => {
    expect(story(await chat('sized'))).toEqual([200, 'sized', 'small', '1']);
    expect(story(await chat('sized', long))).toEqual([200, 'sized', 'large', '1']);
    expect(story(await chat('sized', 'Hi', { max_tokens: 500 }))).toEqual([200, 'sized', 'large', '1']);
    const talker = await post(`${mizan.url}/ai-process`, token, { agent: 'talker', input: 'Hi' });
    expect(story(talker)).toEqual([200, 'sized', 'large', '1']);
  });

  test('goes to the first model for long prompts that it fits into, and no other', async () => {
    const before = upstream.requestsTo('lenient').length;
    expect(story(await chat('bounded', long))).toEqual([200, 'sized', 'large', '1']);
    expect(upstream.requestsTo('lenient')).toHaveLength(before);
  });

  test('goes there, too, where the upstream is the first to say so', async () => {
    expect(story(await chat('unsized', long))).toEqual([200, 'sized', 'large', '2']);
  });

  test.for(dialects)('is refused with numbers where there is none: $path', async ({ path, body }) => {
    const before = upstream.total;
    const params = path === '/ai-process' ? { input: long } : { messages: [{ role: 'user', content: long }] };
    const answer = await post(`${mizan.url}${path}`, token, { ...body('tight', { stream: false }), ...params });
    expect(answer.status).toBe(400);
    expect(errorOf(answer.json)).toMatchObject({
      code: 'context_length_exceeded',
      param: 'messages',
      message: 'About 473 tokens are needed, and "tight" takes 100 at the most.',
    });
    expect(upstream.total).toBe(before);
    expect(await rowOf(mizan.url, token, answer.headers.get('x-request-id')!)).toMatchObject({
      status: 400,
      error_code: 'context_length_exceeded',
      attempts: 0,
    });
  });
});

describe('what is refused by policy', () => {
  test('goes to the model that is more lenient, and the log tells of both', async () => {
    const before = upstream.requestsTo('good').length;
    const answer = await chat('strict');
    expect(story(answer)).toEqual([200, 'lenient', 'lenient', '2']);
    expect(upstream.requestsTo('good')).toHaveLength(before);
    const id = answer.headers.get('x-request-id')!;
    const { status, json } = await find(id);
    expect(status).toBe(200);
    const timed = { started_ms: expect.any(Number), duration_ms: expect.any(Number), provider: 'mock' };
    expect(json).toMatchObject({
      id,
      model: 'lenient',
      attempts: 2,
      trail: [
        {
          ...timed,
          model: 'strict',
          instance: 'picky',
          purpose: 'first',
          outcome: 'content_policy',
          detail: 'mock answered with status 400.',
        },
        { ...timed, model: 'lenient', instance: 'lenient', purpose: 'retry', outcome: 'ok', detail: null },
      ],
    });
    expect(await find(id, await mizan.token({ tenant: 'another', role: 'admin' }))).toMatchObject({
      status: 404,
      json: { error: { code: 'not_found' } },
    });
    expect((await find('req_00000000000000000000000000')).status).toBe(404);
  });

  test('has no trail in the log where one attempt was enough', async () => {
    const answer = await chat('turns');
    expect((await find(answer.headers.get('x-request-id')!)).json).toMatchObject({ attempts: 1, trail: null });
  });
});

describe('the strategy sticky', () => {
  test('sends a session to the same instance, on both routes', async () => {
    const of = async (session: string) => {
      const answers = [
        await chat('sticky', 'One', { prompt_cache_key: session }),
        await chat('sticky', 'Two', { user: session }),
        await post(`${mizan.url}/ai-process`, token, { agent: 'sticky', input: 'Three', session }),
        await post(`${mizan.url}/ai-process`, token, { agent: 'sticky', input: 'Four', session, stream: true }),
      ];
      return [...new Set(answers.map((answer) => header(answer, 'instance')))];
    };
    // One after the other: an instance that has its hands full passes a session on.
    const instances: (string | null)[][] = [];
    for (let i = 0; i < 12; i++) instances.push(await of(`session-${i}`));
    expect(instances.filter(({ length }) => length !== 1)).toEqual([]);
    expect(new Set(instances.flat()).size).toBeGreaterThan(1);
  });

  test('does so for the same beginning where no session is named', async () => {
    const instances = new Set<string | null>();
    for (const more of ['', ' And', ' so on']) {
      const answer = await chat('sticky', `${long}${long}${more}`);
      instances.add(header(answer, 'instance'));
    }
    expect(instances.size).toBe(1);
  });
});
