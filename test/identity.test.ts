import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTokens } from '../src/security/create-tokens.ts';
import { mizan as command } from './support/command.ts';
import { ask, errorOf, post } from './support/http.ts';
import { issuerKey, startIssuer } from './support/issuer.ts';
import type { Running } from './support/mizan.ts';
import { commonOptions, readConfig, runMizan } from './support/mizan.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

let mizan: Running;
let token: string;

beforeAll(async () => {
  mizan = await runMizan({
    providers: { sim: { kind: 'simulator' } },
    models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    agents: { assistant: { model: 'words' }, other: { model: 'words' } },
  });
  token = await mizan.token();
});

afterAll(() => mizan.end());

const run = (body: object, by = token) => post(`${mizan.url}/ai-process`, by, body);
const chat = (body: object, by = token) =>
  post(`${mizan.url}/v1/chat/completions`, by, { messages: [{ role: 'user', content: 'Hi' }], ...body });

describe('an identity', () => {
  const everywhere = [
    ['POST', '/ai-process'],
    ['POST', '/v1/chat/completions'],
    ['GET', '/v1/models'],
    ['GET', '/v1/models/words'],
    ['GET', '/api/requests'],
  ] as const;

  async function statusesFor(headers: Readonly<Record<string, string>>): Promise<Set<string>> {
    const results = new Set<string>();
    for (const [method, path] of everywhere) {
      const { status, json, headers: answered } = await ask(`${mizan.url}${path}`, { method, headers });
      results.add(`${status} ${errorOf(json).code}`);
      expect(answered.get('www-authenticate')).toBe('Bearer');
      expect(errorOf(json).request_id).toBe(answered.get('x-request-id'));
    }
    return results;
  }

  test('is asked for on every route but the health checks', async () => {
    expect(await statusesFor({})).toEqual(new Set(['401 missing_identity']));
    expect(await statusesFor({ authorization: `Basic ${token}` })).toEqual(new Set(['401 missing_identity']));
    for (const path of ['/healthz', '/readyz']) expect((await ask(`${mizan.url}${path}`)).status).toBe(200);
  });

  const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

  test('is refused with a token that is not ours, not for us, or not good any more', async () => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: 'x', iss: 'mizan', aud: 'mizan', iat: now, exp: now + 3600, role: 'admin' };
    const [header, payload, signature] = token.split('.');
    const forged = {
      'no signature': `${base64({ alg: 'none', typ: 'JWT' })}.${base64(claims)}.`,
      'other claims': `${header}.${base64({ ...claims, tenant: 'other' })}.${signature}`,
      'half a signature': `${header}.${payload}.${signature!.slice(0, 20)}`,
      'no token at all': 'abc',
    };
    for (const credential of Object.values(forged)) {
      expect(await statusesFor({ authorization: `Bearer ${credential}` })).toEqual(new Set(['401 invalid_token']));
    }
    const config = readConfig(mizan);
    for (const jwt of [
      { ...config.auth.jwt, issuer: 'another' },
      { ...config.auth.jwt, audience: 'another' },
    ]) {
      const tokens = createTokens({ auth: { jwt } }, mizan.dataFolder);
      const foreign = await tokens.sign(
        { subject: 'x', tenant: 'default', role: 'admin', agents: null, ttl: 60 },
        Date.now(),
      );
      expect(await statusesFor({ authorization: `Bearer ${foreign}` })).toEqual(new Set(['401 invalid_token']));
    }
    const old = await mizan.token({ ttl: -3600 });
    expect(await statusesFor({ authorization: `Bearer ${old}` })).toEqual(new Set(['401 expired_token']));
    const unknownKey = `mz_${'0'.repeat(16)}_${'0'.repeat(48)}`;
    for (const credential of ['mz_short', unknownKey]) {
      expect(await statusesFor({ authorization: `Bearer ${credential}` })).toEqual(new Set(['401 invalid_api_key']));
    }
  });

  test('that may only look is refused what answers, and shown what there is', async () => {
    const viewer = await mizan.token({ role: 'viewer' });
    for (const answer of [await run({ input: 'x' }, viewer), await chat({ model: 'words' }, viewer)]) {
      expect(answer.status).toBe(403);
      expect(errorOf(answer.json)).toMatchObject({ code: 'forbidden', type: 'permission' });
    }
    expect((await ask(`${mizan.url}/v1/models`, { token: viewer })).status).toBe(200);
    expect((await ask(`${mizan.url}/api/requests`, { token: viewer })).status).toBe(200);
  });

  test('may be vouched for by a configured issuer, within what it may say, also once it is away', async () => {
    const key = await issuerKey('ES256', 'k1');
    const issuer = await startIssuer(key);
    const claims = { tenant: 'org', role: 'groups', agents: 'agents' };
    const rules = { claims, roles: { staff: 'operator', boss: 'admin' }, maxRole: 'admin', anyTenant: ['root'] };
    const second = await runMizan({
      auth: { issuers: [{ issuer: issuer.url, audience: 'mizan', algorithms: ['ES256'], ...rules }] },
      providers: { sim: { kind: 'simulator' } },
      models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
      agents: { assistant: { model: 'words' }, other: { model: 'words' } },
    });
    const by = async (more: object) => issuer.sign(key, { org: 'acme', agents: ['assistant'], ...more });
    const status = async (path: string, bearer: string) =>
      (await ask(`${second.url}${path}`, { token: bearer })).status;
    const call = async (agent: string, bearer: string) =>
      (await post(`${second.url}/ai-process`, bearer, { agent, input: 'x' })).status;
    const staff = await by({ groups: ['staff'] });
    expect([await call('assistant', staff), await call('other', staff)]).toEqual([200, 403]);
    expect(await status('/api/keys', staff)).toBe(403);
    expect(await status('/api/keys', await by({ groups: ['boss'] }))).toBe(200);
    expect(await status('/api/requests?tenant=acme', await by({ org: 'other', groups: ['boss'] }))).toBe(403);
    expect(await status('/api/requests?tenant=acme', await by({ org: 'other', groups: ['root'] }))).toBe(200);
    expect(await status('/v1/models', await by({ org: undefined }))).toBe(401);
    expect(await status('/v1/models', await second.token())).toBe(200);
    await issuer.close();
    expect(await call('assistant', await by({ sub: 'never seen before' }))).toBe(200);
    await second.end();
  });

  test('is an API key from the moment the command made it, until the moment the command revokes it', async () => {
    const created = await command([
      'keys',
      'create',
      '--name',
      'app',
      '--agents',
      'assistant',
      ...commonOptions(mizan),
    ]);
    expect(created).toMatchObject({ code: 0, stderr: '' });
    const apiKey = created.stdout.trim();
    const list = await command(['keys', 'list', '--json', ...commonOptions(mizan)]);
    expect((await run({ input: 'x' }, apiKey)).status).toBe(200);
    expect((await run({ agent: 'other', input: 'x' }, apiKey)).status).toBe(403);
    expect((await chat({ model: 'words' }, apiKey)).status).toBe(403);
    const altered = apiKey.slice(0, -1) + (apiKey.endsWith('0') ? '1' : '0');
    expect((await run({ input: 'x' }, altered)).status).toBe(401);
    expect(list.stdout).not.toContain(apiKey);
    expect((await command(['keys', 'revoke', apiKey, ...commonOptions(mizan)])).code).toBe(0);
    const { status, json } = await run({ input: 'x' }, apiKey);
    expect(status).toBe(401);
    expect(errorOf(json).code).toBe('invalid_api_key');
  });
});
