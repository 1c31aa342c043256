import type { ServerResponse } from 'node:http';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../src/core/clock.ts';
import { Secret } from '../src/core/secret.ts';
import { EgressGuard } from '../src/egress/guard.ts';
import { egressRules } from '../src/egress/rules.ts';
import { createProvider } from '../src/providers/index.ts';
import { Listener, preparedChat } from './support/attempts.ts';
import { errorOf, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { completion, respond, startUpstream } from './support/model-service.ts';

const key = 'sk-canary-of-the-provider-0123456789';
const redirects = [301, 302, 303, 307, 308];

let upstream: Upstream;
/** Must see nothing. */
let elsewhere: Upstream;
let mizan: Running;
let token: string;

/** Paths of a base URL that read as another host to those who join carelessly. */
const paths = ['//HOST/v1', '/http://HOST/v1', '/@HOST/v1', '/%2f%2fHOST/v1', '/..//HOST/v1', '/\\HOST\\v1'];

beforeAll(async () => {
  elsewhere = await startUpstream({});
  upstream = await startUpstream({
    fine: (_request, response) => respond(response, 200, completion('Hi')),
    ...Object.fromEntries(
      redirects.map((status) => [
        `to-${status}`,
        (_request: unknown, response: ServerResponse) => {
          response.writeHead(status, { location: `${elsewhere.url}/chat/completions` }).end();
        },
      ]),
    ),
  });
  const { host } = new URL(elsewhere.url);
  const { origin } = new URL(upstream.url);
  const instance = (id: string, provider: string, model: string) => ({
    instances: [{ id, provider, model }],
    health: everInUse,
    retries: { attempts: 1 },
  });
  mizan = await runMizan({
    providers: {
      up: { kind: 'openai-compatible', baseUrl: upstream.url, apiKey: key },
      ...Object.fromEntries(
        paths.map((path, i) => [
          `path${i}`,
          { kind: 'openai-compatible', baseUrl: origin + path.replace('HOST', host), apiKey: key },
        ]),
      ),
    },
    models: {
      fine: instance('fine', 'up', 'fine'),
      ...Object.fromEntries(redirects.map((status) => [`to-${status}`, instance('to', 'up', `to-${status}`)])),
      ...Object.fromEntries(paths.map((_path, i) => [`path${i}`, instance('path', `path${i}`, 'fine')])),
    },
  });
  token = await mizan.token();
});

afterAll(async () => {
  await mizan.end();
  await Promise.all([upstream.close(), elsewhere.close()]);
});

const chat = (body: object) =>
  post(`${mizan.url}/v1/chat/completions`, token, { messages: [{ role: 'user', content: 'Hi' }], ...body });

describe('a provider’s key goes to its own origin and nowhere else', () => {
  test.each(redirects)('where an upstream answers with %i: that is a failure, and not followed', async (status) => {
    for (const stream of [false, true]) {
      const { status: answered, json } = await chat({ model: `to-${status}`, stream });
      expect(answered).toBe(502);
      expect(errorOf(json).code).toBe('upstream_protocol');
    }
    expect(elsewhere.total).toBe(0);
  });

  test.each(paths)('whatever the path of its base URL: %s', async (path) => {
    const before = upstream.total;
    expect((await chat({ model: `path${paths.indexOf(path)}` })).status).toBe(200);
    expect(upstream.total).toBe(before + 1);
    expect(upstream.requestsTo('fine').at(-1)?.headers['authorization']).toBe(`Bearer ${key}`);
    expect(elsewhere.total).toBe(0);
  });
});

test('a URL that a caller gives is passed on, and never fetched', async () => {
  const url = `${elsewhere.url}/image.png`;
  const content = [
    { type: 'text', text: url },
    { type: 'image_url', image_url: { url } },
    { type: 'file', file: { file_url: url, file_data: url } },
    { type: 'input_audio', input_audio: { url } },
  ];
  const messages = [{ role: 'user', content }];
  const more = {
    base_url: url,
    api_base: url,
    webhook: url,
    callback_url: url,
    tools: [{ type: 'mcp', server_url: url }],
  };
  const { status } = await chat({ model: 'fine', messages, ...more });
  expect(status).toBe(200);
  expect(upstream.requestsTo('fine').at(-1)?.body).toMatchObject({ messages, ...more });
  const process = await post(`${mizan.url}/ai-process`, token, { input: messages, params: more, metadata: { url } });
  expect(process.status).toBe(200);
  await post(`${mizan.url}/api/route/explain`, token, { model: 'fine', messages, ...more });
  expect(elsewhere.total).toBe(0);
});

test('what the guard refuses is a failure of its own kind, told without the address', async () => {
  const guard = new EgressGuard(egressRules([]), (_host, _options, done) => {
    process.nextTick(() => done(null, [{ address: '10.1.2.3', family: 4 }]));
  });
  const settings = {
    kind: 'openai-compatible',
    apiKey: new Secret(key),
    baseUrl: 'https://api.example.com/v1',
    headers: {},
    prices: {},
  } as const;
  const provider = createProvider('up', settings, systemClock, { guard });
  const listener = new Listener();
  const body = preparedChat({ messages: [{ role: 'user', content: 'Hi' }] });
  provider.chat({ chat: body, model: 'm', connectTimeoutMs: 5000 }, listener);
  expect(await listener.failure()).toMatchObject({
    kind: 'forbidden_address',
    message: 'up: an address that is not allowed.',
    cause: { message: 'api.example.com leads to 10.1.2.3, which is a private address' },
  });
  await provider.close();
});

/** Who may open a connection, or look up a name, besides the guard; and why. */
const exceptions: Readonly<Record<string, string>> = {
  'src/cli/rehearse/audience.ts': 'to the Mizan that it rehearses, in its own process',
  'src/cli/rehearse/rehearsal.ts': 'the same',
  'src/providers/http-transport.ts': 'by pools whose every connection the guard makes',
  'src/store/backup/targets/s3-client.ts': 'the same',
  'src/cli/examination.ts': 'to what the operator configured: Redis, and our own ports',
};

test('nothing opens a connection past the guard', () => {
  const root = join(import.meta.dirname, '..');
  const opening =
    /from 'undici'|\bfetch\(|(?:from|import\() ?'(?:node:)?(?:dns|tls|http2|https|dgram)|connect\b.* from 'node:net'|\brequest\b.* from 'node:https?'|new WebSocket|new EventSource/;
  const files = globSync('src/**/*.ts', { cwd: root }).filter((file) => !/\.(?:test|suite)\.ts$/.test(file));
  const found = files.filter((file) => opening.test(readFileSync(join(root, file), 'utf8')));
  expect(found.filter((file) => !file.startsWith('src/egress/')).toSorted()).toEqual(
    Object.keys(exceptions).toSorted(),
  );
});
