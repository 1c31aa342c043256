import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { mizan as command } from './support/command.ts';
import type { Answer } from './support/http.ts';
import { ask, errorOf, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { commonOptions, runMizan } from './support/mizan.ts';

let mizan: Running;
let admin: string;
let anyAdmin: string;

beforeAll(async () => {
  mizan = await runMizan({
    providers: { sim: { kind: 'simulator' } },
    models: {
      words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] },
      large: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] },
    },
    agents: { assistant: { model: 'words' }, other: { model: 'words' } },
  });
  admin = await mizan.token({ subject: 'boss', tenant: 'ours', role: 'admin' });
  anyAdmin = await mizan.token({ subject: 'root', tenant: 'ours', role: 'admin', scope: 'any' });
});

afterAll(() => mizan.end());

interface Key {
  readonly key: string;
  readonly id: string;
  readonly [field: string]: unknown;
}

const create = (body: object, by = admin) => post(`${mizan.url}/api/keys`, by, { name: 'app', ...body });
const rotate = (id: string, body: object, by = admin) => post(`${mizan.url}/api/keys/${id}/rotate`, by, body);
const revoke = (id: string, by = admin) => ask(`${mizan.url}/api/keys/${id}`, { method: 'DELETE', token: by });
const made = async (body: object, by = admin) => (await create(body, by)).json as Key;
const run = (token: string, body: object = {}) => post(`${mizan.url}/ai-process`, token, { input: 'x', ...body });
const chat = (token: string, model: string) =>
  post(`${mizan.url}/v1/chat/completions`, token, { model, messages: [{ role: 'user', content: 'Hi' }] });
const refused = ({ status, json }: Answer) => [status, errorOf(json).code, errorOf(json).param];

async function listed(by = admin, query = ''): Promise<readonly Key[]> {
  const { json } = await ask(`${mizan.url}/api/keys${query}`, { token: by });
  return (json as { readonly keys: readonly Key[] }).keys;
}

describe('a key that is made over HTTP', () => {
  test('is shown once, works at once, and is listed with everything that it was made with', async () => {
    const budget = { usd: 2.5, per: 'day', timezone: 'Asia/Riyadh' };
    const limits = { rpm: 60, tpm: 10_000, max_in_flight: 4, budget };
    const { status, headers, json } = await create({ agents: ['assistant'], models: ['words'], ttl: '30d', limits });
    expect([status, headers.get('cache-control')]).toEqual([201, 'no-store']);
    const { key, ...shown } = json as Key;
    expect(shown).toEqual({
      id: key.slice(3, 19),
      name: 'app',
      tenant: 'ours',
      any_tenant: false,
      role: 'member',
      agents: ['assistant'],
      models: ['words'],
      limits,
      priority: 'normal',
      state: 'active',
      created_at: expect.stringMatching(/Z$/),
      expires_at: expect.stringMatching(/Z$/),
      revoked_at: null,
      rotated_at: null,
      previous_until: null,
      last_used_at: null,
    });
    expect(await listed()).toContainEqual(shown);
    expect(JSON.stringify(await listed())).not.toContain(key.slice(20));
    expect((await run(key)).status).toBe(200);
    expect(await listed()).toContainEqual({ ...shown, last_used_at: expect.stringMatching(/Z$/) });
  });

  test('has a class, and none above that of whoever makes it, who may be for every tenant', async () => {
    expect(await made({ priority: 'low' })).toMatchObject({ priority: 'low' });
    expect(await create({ priority: 'high' })).toMatchObject({
      status: 403,
      json: { error: { code: 'forbidden', message: expect.stringContaining('priority high') } },
    });
    expect(await create({ priority: 'urgent' })).toMatchObject({ status: 400, json: { error: { param: 'priority' } } });
    const grant = { subject: 'chief', tenant: 'ours', role: 'admin', agents: null, ttl: 60 } as const;
    const chief = await mizan.token({ ...grant, scope: 'any' });
    const { id } = await made({ priority: 'high' }, chief);
    expect(await listed()).toContainEqual(expect.objectContaining({ id, priority: 'high' }));
    // Whoever rotates a key has it.
    expect((await post(`${mizan.url}/api/keys/${id}/rotate`, admin, {})).status).toBe(403);
    const high = await mizan.token({ ...grant, priority: 'high' });
    expect(await made({ priority: 'high' }, high)).toMatchObject({ priority: 'high' });
  });

  test('calls its agents and its models, and none besides', async () => {
    const both = (await made({ agents: ['assistant'], models: ['words'] })).key;
    const onlyAgents = (await made({ agents: ['assistant'] })).key;
    const onlyModels = (await made({ agents: [], models: ['words', 'sim/simulator'] })).key;
    const statuses = async (key: string) => {
      const models = ['words', 'large', 'sim/simulator', 'agent/other'];
      const answers = [await run(key), await run(key, { agent: 'other' })];
      for (const model of models) answers.push(await chat(key, model));
      return answers.map(({ status }) => status);
    };
    expect(await statuses(both)).toEqual([200, 403, 200, 403, 403, 403]);
    expect(await statuses(onlyAgents)).toEqual([200, 403, 403, 403, 403, 403]);
    expect(await statuses(onlyModels)).toEqual([403, 403, 200, 403, 200, 403]);
    const named = async (token: string) => {
      const { json } = await ask(`${mizan.url}/v1/models`, { token });
      return (json as { readonly data: readonly { readonly id: string }[] }).data.map(({ id }) => id);
    };
    expect(await named(both)).toEqual(['words', 'agent/assistant']);
    expect(await named(onlyAgents)).toEqual(['agent/assistant']);
    expect(await named(onlyModels)).toEqual(['sim/simulator', 'words']);
  });

  test('is refused with the name of the field that is wrong', async () => {
    const wrong: [body: object, param: string][] = [
      [{ name: '' }, 'name'],
      [{ name: 'a\u0000b' }, 'name'],
      [{ role: 'root' }, 'role'],
      [{ agents: 'assistant' }, 'agents'],
      [{ agents: ['asistant'] }, 'agents'],
      [{ models: [''] }, 'models.0'],
      [{ ttl: 0 }, 'ttl'],
      [{ ttl: 'soon' }, 'ttl'],
      [{ limits: { rpm: 0 } }, 'limits.rpm'],
      [{ limits: { budget: { usd: 1, per: 'year' } } }, 'limits.budget.per'],
      [{ limits: { budget: { usd: 1e308, per: 'day' } } }, 'limits.budget.usd'],
      [{ limits: { budget: { usd: 0.0000004, per: 'day' } } }, 'limits.budget.usd'],
      [{ limits: { budget: { usd: 1, per: 'day', timezone: 'Mars' } } }, 'limits.budget.timezone'],
      [{ limits: { rps: 1 } }, 'limits.rps'],
      [{ colour: 'red' }, 'colour'],
    ];
    for (const [body, param] of wrong) expect(refused(await create(body))).toEqual([400, 'invalid_request', param]);
    const { json } = await create({ agents: ['asistant'] });
    expect(errorOf(json).message).toBe('There is no agent "asistant". Did you mean "assistant"?');
    const poor = await create({ limits: { budget: { usd: 0, per: 'day' } } });
    expect(errorOf(poor.json).message).toBe(
      'limits.budget.usd must be US dollars above 0, up to 1000000, with at most six decimals.',
    );
  });

  test('is never more than whoever makes it', async () => {
    const limited = (await made({ role: 'admin', agents: ['assistant'], models: ['words'] })).key;
    const bodies: object[] = [
      {},
      { agents: null },
      { agents: ['assistant', 'other'] },
      { agents: ['assistant'], models: ['large'] },
      { agents: ['assistant'], models: ['words', 'large'] },
      { agents: ['assistant'], any_tenant: true },
    ];
    for (const body of bodies) expect(refused(await create(body, limited))).toEqual([403, 'forbidden', null]);
    expect((await create({ agents: ['assistant'], models: ['words'], role: 'admin' }, limited)).status).toBe(201);
    expect((await create({ agents: [] }, limited)).status).toBe(201);
    for (const role of ['viewer', 'member', 'operator'] as const) {
      const lesser = await mizan.token({ tenant: 'ours', role });
      expect(refused(await create({}, lesser))).toEqual([403, 'forbidden', null]);
    }
  });
});

describe("a tenant's admin", () => {
  test('has nothing to do with the keys of another', async () => {
    const theirs = await made({ tenant: 'theirs' }, anyAdmin);
    expect(theirs['tenant']).toBe('theirs');
    expect((await listed()).map(({ tenant }) => tenant)).not.toContain('theirs');
    expect(refused(await create({ tenant: 'theirs' }))).toEqual([403, 'forbidden', null]);
    expect(refused(await create({ tenant: '*' }))).toEqual([403, 'forbidden', null]);
    for (const answer of [await rotate(theirs.id, {}), await revoke(theirs.id)]) {
      expect(refused(answer)).toEqual([404, 'not_found', null]);
    }
    for (const path of ['/api/keys', `/api/keys/${theirs.id}`]) {
      const method = path === '/api/keys' ? 'GET' : 'DELETE';
      expect(refused(await ask(`${mizan.url}${path}?tenant=theirs`, { method, token: admin }))).toEqual([
        403,
        'forbidden',
        null,
      ]);
    }
    expect((await run(theirs.key)).status).toBe(200);
    expect((await listed(anyAdmin, '?tenant=theirs')).map(({ id }) => id)).toEqual([theirs.id]);
    expect((await listed(anyAdmin, '?tenant=*')).length).toBeGreaterThan(1);
    for (const tenant of ['*', 'system']) {
      expect(refused(await create({ tenant }, anyAdmin))).toEqual([400, 'invalid_request', 'tenant']);
      const named = await post(`${mizan.url}/api/keys?tenant=${tenant}`, anyAdmin, { name: 'app' });
      expect(refused(named)).toEqual([400, 'invalid_request', 'tenant']);
    }
    expect((await revoke(`${theirs.id}?tenant=theirs`, anyAdmin)).status).toBe(200);
  });

  test('has nothing to do with keys for every tenant', async () => {
    const root = await made({ any_tenant: true, role: 'viewer' }, anyAdmin);
    expect(root).toMatchObject({ tenant: 'ours', any_tenant: true });
    for (const answer of [await rotate(root.id, {}), await revoke(root.id)]) expect(answer.status).toBe(403);
    expect((await ask(`${mizan.url}/api/requests?tenant=*`, { token: root.key })).status).toBe(200);
    expect((await revoke(root.id, anyAdmin)).status).toBe(200);
  });

  test('who may call few agents gets no key that may call more by rotating it', async () => {
    const free = await made({});
    const limited = (await made({ role: 'admin', agents: ['assistant'] })).key;
    expect((await rotate(free.id, {}, limited)).status).toBe(403);
    expect((await run(free.key)).status).toBe(200);
  });
});

describe('a key that is rotated', () => {
  test('has another secret, and the old one is good until the overlap ends', async () => {
    const old = await made({});
    const { status, headers, json } = await rotate(old.id, { overlap: '1h' });
    const next = json as Key;
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(next).toMatchObject({ id: old.id, rotated_at: expect.any(String), previous_until: expect.any(String) });
    expect(Date.parse(String(next['previous_until'])) - Date.parse(String(next['rotated_at']))).toBe(3_600_000);
    expect(next.key).not.toBe(old.key);
    for (const key of [old.key, next.key]) expect((await run(key)).status).toBe(200);
    const last = (await rotate(old.id, { overlap: 0 })).json as Key;
    expect(last['previous_until']).toBe(null);
    for (const key of [old.key, next.key]) expect(refused(await run(key))).toEqual([401, 'invalid_api_key', null]);
    expect((await run(last.key)).status).toBe(200);
  });

  test('takes its time for what it is, and there is nothing to rotate in one that is over', async () => {
    const { id } = await made({});
    expect(refused(await rotate(id, { overlap: 'later' }))).toEqual([400, 'invalid_request', 'overlap']);
    expect(refused(await rotate(id, { overlap: -1 }))).toEqual([400, 'invalid_request', 'overlap']);
    const revoked = await revoke(id);
    expect([revoked.status, (revoked.json as Key)['state']]).toEqual([200, 'revoked']);
    for (const answer of [
      await rotate(id, {}),
      await revoke(id),
      await revoke('nobody'),
      await revoke("' OR 1=1 --"),
    ]) {
      expect(refused(answer)).toEqual([404, 'not_found', null]);
    }
  });
});

test('a key whose row somebody else wrote is shown as damaged, lets nobody in, and is ended as any other', async () => {
  const by = await mizan.token({ subject: 'finder', tenant: 'edited', role: 'admin' });
  const [one, other] = [await made({}, by), await made({}, by)];
  const database = new DatabaseSync(join(mizan.dataFolder, 'mizan.db'), { timeout: 5000 });
  database.exec("UPDATE api_keys SET role = 'admin' WHERE tenant = 'edited'");
  database.exec('UPDATE identity_revision SET revision = revision + 1');
  database.close();
  expect((await listed(by)).map(({ state }) => state)).toEqual(['damaged', 'damaged']);
  expect(refused(await run(one.key))).toEqual([401, 'invalid_api_key', null]);
  expect(refused(await rotate(one.id, {}, by))).toEqual([404, 'not_found', null]);
  expect(await revoke(one.id, by)).toMatchObject({ status: 200, json: { state: 'revoked' } });
  expect((await command(['keys', 'revoke', other.id, ...commonOptions(mizan)])).code).toBe(0);
  expect((await listed(by)).map(({ state }) => state)).toEqual(['revoked', 'revoked']);
  await vi.waitFor(async () => {
    const { json } = await ask(`${mizan.url}/api/audit`, { token: by });
    const { entries } = json as { readonly entries: readonly { readonly action: string; target: string }[] };
    const ended = entries.filter(({ action }) => action === 'key.revoke');
    expect(ended).toHaveLength(2);
    for (const entry of ended) {
      expect(entry).toMatchObject({ before: { state: 'damaged' }, after: { state: 'revoked' } });
    }
  });
});

test('what is done to keys and tokens is in the audit log, without anything that makes them', async () => {
  const by = await mizan.token({ subject: 'auditor', tenant: 'audited', role: 'admin' });
  const key = await made({}, by);
  const next = (await rotate(key.id, {}, by)).json as Key;
  await revoke(key.id, by);
  await post(`${mizan.url}/api/tokens/revoke`, by, { sub: 'leaver' });
  // Entries are committed behind the answers.
  const text = await vi.waitFor(async () => {
    const answer = await ask(`${mizan.url}/api/audit`, { token: by });
    const { entries } = answer.json as { readonly entries: readonly { readonly action: string; target: string }[] };
    expect(entries.map(({ action, target }) => `${action} ${target}`)).toEqual([
      'token.revoke sub:leaver',
      `key.revoke key:${key.id}`,
      `key.rotate key:${key.id}`,
      `key.create key:${key.id}`,
    ]);
    return answer.text;
  });
  for (const secret of [key.key, next.key]) expect(text).not.toContain(secret.slice(20));
});

describe('tokens that are taken back over HTTP', () => {
  const take = (body: object, by = admin) => post(`${mizan.url}/api/tokens/revoke`, by, body);
  const mine = (subject: string, tenant = 'ours') => mizan.token({ subject, tenant });

  test('are one by itself or by its jti, or all of a subject, and stop at once', async () => {
    const [one, two, three] = [await mine('a'), await mine('a'), await mine('b')];
    for (const token of [one, two, three]) expect((await run(token)).status).toBe(200);
    expect(await take({ token: one })).toMatchObject({
      status: 200,
      json: { jti: expect.any(String), tenant: 'ours' },
    });
    expect(refused(await run(one))).toEqual([401, 'revoked_token', null]);
    expect((await run(two)).status).toBe(200);
    const jti = JSON.parse(Buffer.from(two.split('.')[1]!, 'base64url').toString()).jti as string;
    expect((await take({ jti })).json).toEqual({
      jti,
      tenant: 'ours',
      any_tenant: false,
      revoked_at: expect.any(String),
      expires_at: null,
    });
    expect((await take({ sub: 'b' })).status).toBe(200);
    for (const token of [two, three]) expect(refused(await run(token))).toEqual([401, 'revoked_token', null]);
    const { json } = await ask(`${mizan.url}/api/tokens/revocations`, { token: admin });
    const { revocations } = json as { readonly revocations: readonly object[] };
    expect(revocations).toEqual(
      expect.arrayContaining([expect.objectContaining({ sub: 'b', tenant: 'ours' }), expect.objectContaining({ jti })]),
    );
    expect(JSON.stringify(revocations)).not.toContain(one.split('.')[2]);
  });

  test('are never another tenant’s', async () => {
    const theirs = await mine('a', 'theirs');
    expect(refused(await take({ token: theirs }))).toEqual([400, 'invalid_request', 'token']);
    expect(refused(await take({ sub: 'a', tenant: 'theirs' }))).toEqual([403, 'forbidden', null]);
    await take({ sub: 'a' });
    expect((await run(theirs)).status).toBe(200);
    expect((await take({ sub: 'a', tenant: 'theirs' }, anyAdmin)).json).toMatchObject({ tenant: 'theirs' });
    expect(refused(await run(theirs))).toEqual([401, 'revoked_token', null]);
  });

  test('are never, by a tenant’s admin, those of somebody who looks after every tenant', async () => {
    const operator = () => mizan.token({ subject: 'ops', tenant: 'ours', scope: 'any' });
    const [token, own] = [await operator(), await mine('ops')];
    const jti = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).jti as string;
    expect(refused(await take({ token }))).toEqual([403, 'forbidden', null]);
    expect((await take({ jti })).json).toMatchObject({ any_tenant: false });
    expect((await take({ sub: 'ops' })).json).toMatchObject({ any_tenant: false });
    expect([(await run(token)).status, (await run(own)).status]).toEqual([200, 401]);
    expect((await take({ sub: 'ops' }, anyAdmin)).json).toMatchObject({ any_tenant: true });
    expect((await run(token)).status).toBe(401);
  });

  test('are named in one way, and are tokens', async () => {
    for (const body of [{}, { sub: 'a', jti: 'b' }, { token: '', sub: null }]) {
      expect((await take(body)).status).toBe(400);
    }
    expect(refused(await take({ token: 'nonsense' }))).toEqual([400, 'invalid_request', 'token']);
  });
});
