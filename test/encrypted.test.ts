import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageKeyOf } from '../src/security/message-key.ts';
import { AISecurity } from '../src/security/index.ts';
import type { Caller } from './support/encrypted.ts';
import { caller, exportedKey, postJose, publishedKeys } from './support/encrypted.ts';
import { ask, errorOf, eventsOf, post, rows, sendRaw } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { runMizan, startProcess } from './support/mizan.ts';

const config = { providers: { sim: { kind: 'simulator' } } };

let mizan: Running;
let token: string;
let callers: Record<'dir' | 'P-256' | 'X25519', Caller>;

beforeAll(async () => {
  mizan = await runMizan(config);
  token = await mizan.token();
  const [p256, x25519] = await publishedKeys(mizan.url);
  callers = {
    dir: caller(await exportedKey(mizan.dataFolder)),
    'P-256': caller(p256!),
    X25519: caller(x25519!),
  };
});

afterAll(() => mizan.end());

const hello = { input: 'Say hello' };

describe.each(['dir', 'P-256', 'X25519'] as const)('an encrypted request (%s)', (kind) => {
  test('is answered as the plain one is, encrypted', async () => {
    const { encrypt, decrypt } = callers[kind];
    const plain = (await post(`${mizan.url}/ai-process`, token, hello)).json as { readonly output: string };
    const answer = await postJose(mizan.url, token, await encrypt(hello, { jti: `the first ${kind}` }));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/jose');
    expect(answer.text).not.toContain(plain.output);
    const { json, header } = await decrypt(answer.text);
    expect(json).toMatchObject({ agent: 'assistant', output: plain.output, id: answer.headers.get('x-request-id') });
    expect(header).toMatchObject({ cty: 'json', re: `the first ${kind}` });
  });

  test('that streams gets an encrypted event for each, numbered and named', async () => {
    const { encrypt, decrypt } = callers[kind];
    const answer = await postJose(mizan.url, token, await encrypt({ ...hello, stream: true }));
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const opened = await Promise.all(
      eventsOf(answer.text).map(async ({ name, data }) => ({ name, ...(await decrypt(data)) })),
    );
    const output = opened.map(({ json }) => (json as { readonly text?: string }).text ?? '').join('');
    const plain = (await post(`${mizan.url}/ai-process`, token, hello)).json as { readonly output: string };
    expect(output).toBe(plain.output);
    expect(opened.map(({ header }) => header['seq'])).toStrictEqual(opened.map((_, i) => i));
    expect(opened.every(({ name, header }) => header['event'] === name)).toBe(true);
    expect(opened.at(-1)).toMatchObject({ name: 'done', json: { finish_reason: 'stop' } });
  });

  test('with something wrong in it gets an encrypted error with the same status', async () => {
    const { encrypt, decrypt } = callers[kind];
    for (const [body, status, code] of [
      [{ input: 'x', agent: 'nobody' }, 404, 'unknown_agent'],
      [{ inputt: 'x' }, 400, 'invalid_request'],
      [[], 400, 'invalid_json'],
    ] as const) {
      const answer = await postJose(mizan.url, token, await encrypt(body));
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toBe('application/jose');
      expect(errorOf((await decrypt(answer.text)).json).code).toBe(code);
    }
  });

  test('comes once', async () => {
    const { encrypt, decrypt } = callers[kind];
    const request = await encrypt(hello);
    expect((await postJose(mizan.url, token, request)).status).toBe(200);
    const again = await postJose(mizan.url, token, request);
    expect(again.status).toBe(409);
    expect(errorOf((await decrypt(again.text)).json).code).toBe('replayed_message');
    const [newest] = await rows(mizan.url, token, 'limit=1');
    expect(newest).toMatchObject({ status: 409, error_code: 'replayed_message' });
  });

  test.each([
    ['from more than five minutes and a half ago', { iat: -331 }, 'iat'],
    ['from the future', { iat: 120 }, 'iat'],
    ['without a time', { iat: undefined }, 'iat'],
    ['without a name', { jti: undefined }, 'jti'],
    ['with too long a name', { jti: 'x'.repeat(201) }, 'jti'],
  ])('%s is refused, encrypted', async (_what, header, param) => {
    const { encrypt, decrypt } = callers[kind];
    const now = Math.floor(Date.now() / 1000);
    const given = 'iat' in header && header.iat !== undefined ? { iat: now + header.iat } : header;
    const answer = await postJose(mizan.url, token, await encrypt(hello, given));
    expect(answer.status).toBe(400);
    expect(errorOf((await decrypt(answer.text)).json)).toMatchObject({ code: 'invalid_request', param });
  });

  test.each([-310, 25])('from %i s away is taken', async (away) => {
    const iat = Math.floor(Date.now() / 1000) + away;
    expect((await postJose(mizan.url, token, await callers[kind].encrypt(hello, { iat }))).status).toBe(200);
  });
});

describe('what is refused in plain', () => {
  async function refused(body: string, as = token): Promise<string> {
    const answer = await postJose(mizan.url, as, body);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    return `${answer.status} ${errorOf(answer.json).code}`;
  }

  test('no JWE', async () => {
    for (const body of ['', '{}', 'a.b.c.d.e', JSON.stringify(hello)]) {
      expect(await refused(body)).toBe('400 undecryptable');
    }
  });

  test('one that was altered', async () => {
    const request = await callers.dir.encrypt(hello);
    expect(await refused(`${request.slice(0, -2)}AA`)).toBe('400 undecryptable');
  });

  test("one with another tenant's key, or for another tenant", async () => {
    const other = await mizan.token({ tenant: 'other' });
    expect(await refused(await callers.dir.encrypt(hello), other)).toBe('400 undecryptable');
    expect(await refused(await callers.X25519.encrypt(hello, { tenant: 'default' }), other)).toBe('400 undecryptable');
  });

  test("another tenant's copy of what was encrypted to the server comes no second time either", async () => {
    const request = await callers.X25519.encrypt(hello);
    expect((await postJose(mizan.url, token, request)).status).toBe(200);
    const copied = await postJose(mizan.url, await mizan.token({ tenant: 'other' }), request);
    expect(copied.status).toBe(409);
  });

  test('one without a key to answer to, or with a secret one for all to see', async () => {
    const pair = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
    const nothing = { kty: 'OKP', crv: 'X25519', x: Buffer.alloc(32).toString('base64url') };
    const before = (await rows(mizan.url, token, 'limit=1'))[0]?.id;
    for (const reply_jwk of [undefined, 'x', { kty: 'oct', k: 'AA' }, { kty: 'EC', crv: 'P-521' }, nothing, pair]) {
      const answer = await postJose(mizan.url, token, await callers['P-256'].encrypt(hello, { reply_jwk }));
      expect(answer.status).toBe(400);
      expect(errorOf(answer.json)).toMatchObject({ code: 'invalid_request', param: 'reply_jwk' });
    }
    const bare = await postJose(mizan.url, token, await callers['P-256'].encrypt(hello, { reply_jwk: pair }));
    expect(errorOf(bare.json).message).toMatch(/private/);
    expect((await rows(mizan.url, token, 'limit=1'))[0]?.id).toBe(before);
  });

  test('what the encrypt route made', async () => {
    for (const context of [undefined, 'order 17']) {
      const made = await post(`${mizan.url}/api/security/encrypt`, token, { data: hello, context });
      const answer = await postJose(mizan.url, token, (made.json as { readonly token: string }).token);
      expect(answer.status).toBe(400);
    }
  });

  test('without an identity', async () => {
    const answer = await postJose(mizan.url, '', await callers.dir.encrypt(hello));
    expect(answer.status).toBe(401);
  });

  test('the same type anywhere else, and other types here', async () => {
    for (const [url, type] of [
      ['/v1/chat/completions', 'application/jose'],
      ['/api/security/encrypt', 'application/jose'],
      ['/ai-process', 'application/jose+json'],
      ['/ai-process', 'text/plain'],
    ]) {
      const headers = { 'content-type': String(type) };
      const answer = await ask(`${mizan.url}${url}`, { method: 'POST', token, headers, body: 'x' });
      expect(`${url} ${answer.status} ${errorOf(answer.json).code}`).toBe(`${url} 415 unsupported_media_type`);
    }
  });
});

test('the public keys need no identity, and have nothing private in them', async () => {
  const answer = await ask(`${mizan.url}/.well-known/jwks.json`);
  expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
  const { keys } = answer.json as { readonly keys: Record<string, unknown>[] };
  expect(keys.map(({ kty, crv, use, alg }) => [kty, crv, use, alg])).toStrictEqual([
    ['EC', 'P-256', 'enc', 'ECDH-ES+A256KW'],
    ['OKP', 'X25519', 'enc', 'ECDH-ES+A256KW'],
  ]);
  expect(answer.text).not.toContain('"d"');
});

test('a long answer that streams arrives whole', async () => {
  const request = await callers.dir.encrypt({ input: 'Tell me '.repeat(2000), stream: true });
  const lines = [
    'POST /ai-process HTTP/1.1',
    'host: x',
    `authorization: Bearer ${token}`,
    'content-type: application/jose',
    'connection: close',
    `content-length: ${request.length}`,
  ];
  const heard = await sendRaw(mizan.url, `${lines.join('\r\n')}\r\n\r\n${request}`);
  expect(heard.match(/^event: done$/gm)).toHaveLength(1);
});

describe('the routes that encrypt and decrypt', () => {
  const route = (name: string, body: object, as = token) => post(`${mizan.url}/api/security/${name}`, as, body);

  test.each([['a text'], [{ a: [1, null, 'ب'] }], [null], [17], [false]])('give back %j', async (data) => {
    const { json } = await route('encrypt', { data, context: 'c' });
    const made = (json as { readonly token: string }).token;
    expect((await route('decrypt', { token: made, context: 'c' })).json).toStrictEqual({ data });
    const other = await mizan.token({ tenant: 'other' });
    for (const refused of [
      await route('decrypt', { token: made }),
      await route('decrypt', { token: made, context: 'd' }),
      await route('decrypt', { token: made, context: 'c' }, other),
    ]) {
      expect(`${refused.status} ${errorOf(refused.json).code}`).toBe('400 undecryptable');
    }
  });

  test('are AISecurity with the exported key', async () => {
    const key = await exportedKey(mizan.dataFolder);
    const jwk = { ...key.encrypts.export({ format: 'jwk' }), kty: 'oct', kid: key.kid };
    const security = new AISecurity({ keys: [jwk] });
    const { json } = await route('encrypt', { data: { n: 1 }, context: 'c' });
    expect(await security.decryptData((json as { readonly token: string }).token, { context: 'c' })).toStrictEqual({
      n: 1,
    });
    const bytes = await security.encryptData(Uint8Array.of(255, 0));
    expect((await route('decrypt', { token: bytes })).json).toStrictEqual({ data: '/wA=', encoding: 'base64' });
    expect(messageKeyOf(jwk).kid).toBe(key.kid);
  });

  test.each([
    ['encrypt', {}, 'data'],
    ['encrypt', { data: 'x', context: 5 }, 'context'],
    ['encrypt', { data: 'x', contxt: 'c' }, 'contxt'],
    ['decrypt', {}, 'token'],
    ['decrypt', { token: 5 }, 'token'],
  ])('%s names what is wrong with %j', async (name, body, param) => {
    const answer = await route(name, body);
    expect(answer.status).toBe(400);
    expect(errorOf(answer.json)).toMatchObject({ code: 'invalid_request', param });
  });
});

test('a request comes once, also when Mizan was killed in between', async () => {
  const first = await startProcess(config);
  const own = caller(await exportedKey(first.dataFolder));
  const request = await own.encrypt(hello);
  const as = await first.token();
  expect((await postJose(first.url, as, request)).status).toBe(200);
  first.process.signal('SIGKILL');
  await first.process.ended;
  const second = await startProcess(config, first);
  const again = await postJose(second.url, as, request);
  expect(again.status).toBe(409);
  expect(errorOf((await own.decrypt(again.text)).json).code).toBe('replayed_message');
  await second.end();
});
