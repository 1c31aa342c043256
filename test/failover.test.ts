import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dialects } from './support/dialects.ts';
import { ask, errorOf, post, rowOf, rows } from './support/http.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, closedPort, completion, event, fails, says, startUpstream } from './support/model-service.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';

let upstream: Upstream;
let mizan: Running;
let token: string;
/** Accepts connections and never says a word: no handshake of TLS comes to an end. */
let mute: Server;

/** Each way to ask has models of its own: what one of them makes of an instance is nothing to the others. */
const ways = dialects.flatMap((dialect) => [true, false].map((stream) => ({ ...dialect, stream })));
const ownModel = (model: string, way: number) => `${model}-${way}`;

/** Sends a little every 20 ms, for ever. */
function drip(
  response: { write(text: string): boolean; once(name: 'close', then: () => void): void },
  text: string,
): void {
  const timer = setInterval(() => response.write(text), 20);
  response.once('close', () => clearInterval(timer));
}

beforeAll(async () => {
  upstream = await startUpstream({
    good: says('Here', ' I am'),
    'status-400': fails(400, 'No such parameter'),
    'status-401': fails(401),
    'status-402': fails(402),
    'status-403': fails(403),
    'status-404': fails(404),
    'status-408': fails(408),
    'status-413': fails(413, 'Too long'),
    'status-422': fails(422, 'No such picture'),
    'status-429': fails(429, 'Slow down', { 'retry-after': '3' }),
    'status-500': fails(500),
    'status-502': fails(502),
    'status-503': fails(503),
    'status-504': fails(504),
    'status-529': fails(529),
    'status-302': (_request, response) => void response.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
    'not-json': (_request, response) =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":'),
    'no-choices': (_request, response) => void response.writeHead(200).end('{"object":"chat.completion","choices":[]}'),
    'error-inside': (_request, response) => void response.writeHead(200).end('{"error":{"message":"Out of memory"}}'),
    short: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '10000' });
      response.write(JSON.stringify(completion('Half')), () => response.destroy());
    },
    silent: () => {},
    stalling: ({ body }, response) => {
      if (body['stream'] === true) {
        beginStream(response);
        return;
      }
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":');
    },
    dripping: ({ body }, response) => {
      if (body['stream'] === true) beginStream(response);
      else response.writeHead(200, { 'content-type': 'application/json' });
      drip(response, body['stream'] === true ? ': waiting\n\n' : ' ');
    },
    talking: ({ body }, response) => {
      if (body['stream'] === true) beginStream(response);
      else response.writeHead(200, { 'content-type': 'application/json' });
      drip(response, body['stream'] === true ? event({ content: 'x' }) : ' ');
    },
  });
  mute = createServer();
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');

  const mocked = (model: string, weight = 1) => ({ id: model, provider: 'mock', model, weight });
  const dead = (id: string) => ({ id, provider: 'dead', model: 'any', weight: 1000 });
  const rescued = (first: object, timeouts: object) => ({ instances: [first, mocked('good')], timeouts });
  const kinds: Record<string, object> = {
    half: { instances: [{ ...dead('dead'), weight: 1 }, mocked('good')] },
    // Whoever asked a third time would be answered.
    dead: { instances: [dead('dead-a'), dead('dead-b'), mocked('good')], retries: { attempts: 2 } },
    alone: { instances: [dead('dead')] },
    nowhere: {},
    'connect-deadline': {
      instances: [{ id: 'mute', provider: 'mute', model: 'any' }],
      timeouts: { connectMs: 100 },
    },
    'first-byte-deadline': { instances: [mocked('silent')], timeouts: { firstByteMs: 100 } },
    'first-token-deadline': { instances: [mocked('stalling')], timeouts: { firstTokenMs: 100 } },
    'idle-deadline': { instances: [mocked('stalling')], timeouts: { idleMs: 100 } },
    'total-deadline': { instances: [mocked('dripping')], timeouts: { idleMs: 2000, totalMs: 300 } },
    'total-deadline-while-talking': { instances: [mocked('talking')], timeouts: { idleMs: 2000, totalMs: 300 } },
    'connect-rescued': rescued({ id: 'mute', provider: 'mute', model: 'any', weight: 1000 }, { connectMs: 400 }),
    'first-byte-rescued': rescued(mocked('silent', 1000), { firstByteMs: 400 }),
    'first-token-rescued': rescued(mocked('stalling', 1000), { firstTokenMs: 400 }),
    'idle-rescued': rescued(mocked('stalling', 1000), { idleMs: 400 }),
    'total-not-rescued': rescued(mocked('dripping', 1000), { idleMs: 2000, totalMs: 300 }),
  };
  const models: Record<string, object> = {};
  for (const way of ways.keys()) {
    for (const [kind, model] of Object.entries(kinds)) models[ownModel(kind, way)] = { health: everInUse, ...model };
    for (const kind of [...retried, ...final]) {
      const instances = [mocked(kind, 1000), mocked('good')];
      models[ownModel(kind, way)] = { instances, health: { consecutiveFailures: 1 } };
    }
  }
  mizan = await runMizan({
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url },
      dead: { kind: 'openai-compatible', baseUrl: `http://127.0.0.1:${await closedPort()}/v1` },
      mute: { kind: 'openai-compatible', baseUrl: `https://127.0.0.1:${(mute.address() as AddressInfo).port}/v1` },
    },
    models,
    agents: Object.fromEntries(Object.keys(models).map((model) => [model, { model }])),
  });
  token = await mizan.token();
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
  mute.close();
});

/** Failures of an instance, where another may do better. */
const retried = [
  'status-401',
  'status-402',
  'status-403',
  'status-404',
  'status-408',
  'status-429',
  'status-500',
  'status-502',
  'status-503',
  'status-504',
  'status-529',
  'status-302',
  'not-json',
  'no-choices',
  'error-inside',
  'short',
];

/** What another instance would say, too. */
const final = ['status-400', 'status-413', 'status-422'];

describe.for([...ways.entries()].map(([way, dialect]) => ({ way, ...dialect })))(
  'POST $path with stream: $stream',
  ({ way, path, body, readStream, stream }) => {
    const call = (model: string) => post(`${mizan.url}${path}`, token, body(ownModel(model, way), { stream }));
    /** What was said, whichever way it came. */
    const said = (text: string): string => {
      if (stream) return readStream(text).output;
      const answer = JSON.parse(text) as {
        readonly output?: string;
        readonly choices?: readonly { readonly message: { readonly content: string } }[];
      };
      return answer.output ?? answer.choices![0]!.message.content;
    };

    test('is answered by the living instance where the other is dead, and says that it took two attempts', async () => {
      const attempts: (string | null)[] = [];
      for (let i = 0; i < 6; i++) {
        const { status, headers, text } = await call('half');
        expect([status, said(text), headers.get('x-mizan-instance')]).toEqual([200, 'Here I am', 'good']);
        const row = await rowOf(mizan.url, token, headers.get('x-request-id')!);
        expect(row).toMatchObject({ status: 200, instance: 'good', attempts: Number(headers.get('x-mizan-attempts')) });
        attempts.push(headers.get('x-mizan-attempts'));
      }
      expect([attempts.length, attempts.filter((count) => count === '2').length]).toEqual([6, 3]);
    });

    test('fails with 502 where both instances that were asked are dead', async () => {
      const { status, headers, json } = await call('dead');
      expect(status).toBe(502);
      expect(errorOf(json)).toMatchObject({
        code: 'upstream_error',
        type: 'upstream',
        message: 'dead: connection refused.',
        param: null,
        request_id: headers.get('x-request-id'),
      });
      expect(headers.get('x-mizan-attempts')).toBe('2');
      const [row] = await rows(mizan.url, token, 'limit=1');
      expect(row).toMatchObject({
        status: 502,
        error_code: 'upstream_error',
        attempts: 2,
        stream,
        finish_reason: null,
      });
    });

    test('is tried three times on the one instance there is, and no more', async () => {
      const { status, headers } = await call('alone');
      expect([status, headers.get('x-mizan-attempts')]).toEqual([502, '3']);
    });

    test('fails with 503 and Retry-After where the model has no instances', async () => {
      const { status, headers, json } = await call('nowhere');
      expect(status).toBe(503);
      expect(errorOf(json)).toMatchObject({ code: 'no_healthy_instance', type: 'unavailable' });
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      const [row] = await rows(mizan.url, token, 'limit=1');
      expect(row).toMatchObject({ model: ownModel('nowhere', way), status: 503, attempts: 0, instance: null });
    });

    test.for(retried)('is answered by the next instance where the first fails: %s', async (model) => {
      const { status, headers, text } = await call(model);
      expect([status, said(text)]).toEqual([200, 'Here I am']);
      expect([headers.get('x-mizan-instance'), headers.get('x-mizan-attempts')]).toEqual(['good', '2']);
    });

    test.for(final)('is not tried again where the request itself is refused: %s', async (model) => {
      const { status, headers, json } = await call(model);
      expect([status, headers.get('x-mizan-attempts')]).toEqual([Number(model.slice(-3)), '1']);
      expect(errorOf(json)).toMatchObject({ code: 'upstream_rejected', type: 'invalid_request' });
    });

    test.for([
      { phase: 'connect', message: 'mute: no connection in time.', attempts: '3' },
      { phase: 'first-byte', message: 'mock did not begin to answer in time.', attempts: '1' },
      stream
        ? { phase: 'first-token', message: 'mock did not say anything in time.', attempts: '1' }
        : { phase: 'idle', message: 'mock stopped in the middle of its answer.', attempts: '1' },
      { phase: 'total', message: 'mock did not finish its answer in time.', attempts: '1' },
    ])('fails with 504 at the deadline: $phase', async ({ phase, message, attempts }) => {
      const { status, headers, json } = await call(`${phase}-deadline`);
      expect(status).toBe(504);
      expect(errorOf(json)).toMatchObject({ code: 'upstream_timeout', type: 'timeout', message });
      expect(headers.get('x-mizan-attempts')).toBe(attempts);
    });

    test.for(['connect', 'first-byte', stream ? 'first-token' : 'idle'])(
      'is answered by the next instance after the deadline: %s',
      async (phase) => {
        const { status, headers, text } = await call(`${phase}-rescued`);
        expect([status, said(text), headers.get('x-mizan-attempts')]).toEqual([200, 'Here I am', '2']);
      },
    );

    test('is not tried again when its whole time is over', async () => {
      const { status, headers } = await call('total-not-rescued');
      expect([status, headers.get('x-mizan-attempts')]).toEqual([504, '1']);
    });

    test('ends when its whole time is over, though the upstream never stops talking', async () => {
      const { status, text } = await call('total-deadline-while-talking');
      expect(status).toBe(stream ? 200 : 504);
      expect(text).toContain('upstream_timeout');
      expect(text).not.toMatch(/event: done|\[DONE\]/);
    });
  },
);

test('every upstream that was given up has been left', async () => {
  const abandoned = ['silent', 'stalling', 'dripping', 'talking'].flatMap((model) => upstream.requestsTo(model));
  expect(abandoned.length).toBeGreaterThan(20);
  await Promise.all(abandoned.map(({ closed }) => closed));
});

test('instances are said to be down by their own failures only', async () => {
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  const up = (kind: string, way: number) =>
    new RegExp(`^mizan_instance_up\\{instance="${kind}",model="${ownModel(kind, way)}"\\} (\\d)$`, 'm').exec(text)?.[1];
  for (const way of ways.keys()) {
    expect(retried.filter((kind) => up(kind, way) !== '0')).toEqual([]);
    expect(final.filter((kind) => up(kind, way) !== '1')).toEqual([]);
  }
});
