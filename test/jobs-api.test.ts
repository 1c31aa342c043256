import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, errorOf, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';

const url = 'http://127.0.0.1:9/hook';

let mizan: RunningProcess;
let acme: string;

// Nobody runs jobs here.
beforeAll(async () => {
  mizan = await startProcess({
    providers: { sim: { kind: 'simulator' } },
    models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    agents: { assistant: { model: 'words' } },
    egress: { allow: ['127.0.0.1'] },
    schedule: {
      maxWaiting: 2,
      webhooks: { team: { url, tenants: ['acme'] }, open: { url, tenants: ['*'] }, closed: { url } },
    },
  });
  acme = await operatorOf('acme');
});

afterAll(() => mizan.end());

const operatorOf = (tenant: string): Promise<string> => mizan.token({ tenant, role: 'operator' });
const input = 'قل لي ما الجديد في حسابات الشركة';
const order = (name: string, settings: object = {}) => ({
  name,
  every: '300d',
  settings: { agent: 'assistant', input, ...settings },
});
const make = (token: string, name: string, settings: object = {}, query = '') =>
  post(`${mizan.url}/api/jobs${query}`, token, order(name, settings));
const get = (path: string, token = acme) => ask(`${mizan.url}${path}`, { token });

test('a job may post to webhooks that are for its tenant, and is told of no others', async () => {
  const globex = await operatorOf('globex');
  const any = await mizan.token({ role: 'admin', scope: 'any' });
  for (const webhook of ['team', 'open']) expect((await make(acme, webhook, { webhook })).status).toBe(201);
  const refused = await make(acme, 'other', { webhook: 'closed' });
  expect(refused.status).toBe(400);
  expect(errorOf(refused.json)).toMatchObject({
    code: 'invalid_request',
    param: 'webhook',
    message: 'webhook must be the name of a webhook: team, open.',
  });
  expect(errorOf((await make(globex, 'other', { webhook: 'team' })).json).message).toContain('webhook: open.');
  expect((await make(globex, 'other', { webhook: 'open' })).status).toBe(201);
  // Who looks after every tenant may have it posted anywhere.
  expect((await make(any, 'other', { webhook: 'closed' }, '?tenant=acme')).status).toBe(201);
  for (const name of ['team', 'open', 'other']) {
    expect((await ask(`${mizan.url}/api/jobs/${name}`, { method: 'DELETE', token: acme })).status).toBe(200);
  }
});

test('what an agent is told is for operators of the very tenant, and lies in clear nowhere', async () => {
  expect((await make(acme, 'report')).json).toMatchObject({ settings: { agent: 'assistant', input } });
  expect((await get('/api/jobs/report')).json).toMatchObject({ settings: { input } });
  const viewer = await mizan.token({ tenant: 'acme', role: 'viewer' });
  const any = await mizan.token({ role: 'admin', scope: 'any' });
  for (const [path, token] of [
    ['/api/jobs/report', viewer],
    ['/api/jobs/acme%2Freport?tenant=*', any],
  ] as const) {
    expect((await get(path, token)).json).toMatchObject({ name: 'acme/report', settings: { agent: 'assistant' } });
    expect((await get(path, token)).text).not.toContain(input);
  }
  const audit = await get('/api/audit?tenant=*', any);
  expect(audit.text).toContain('job:report');
  expect(audit.text).not.toContain(input);
  for (const file of ['mizan.db', 'mizan.db-wal']) {
    expect(readFileSync(join(mizan.dataFolder, file)).includes(input)).toBe(false);
  }
  expect((await ask(`${mizan.url}/api/jobs/report`, { method: 'DELETE', token: acme })).status).toBe(200);
});

interface Page {
  readonly jobs: readonly { readonly name: string }[];
  readonly next_after: string | null;
}

test('jobs come in pages, each after the last one’s name, and a tenant’s pages have no other’s', async () => {
  const [a, b] = [await operatorOf('a'), await operatorOf('b')];
  for (let i = 0; i < 5; i++) expect((await make(a, `job-${i}`)).status).toBe(201);
  expect((await make(b, 'job-0')).status).toBe(201);
  const pages: string[][] = [];
  for (let after: string | null = ''; after !== null;) {
    const { json } = await get(`/api/jobs?limit=2&after=${encodeURIComponent(after)}`, a);
    const { jobs, next_after: next } = json as Page;
    pages.push(jobs.map(({ name }) => name));
    after = next;
  }
  expect(pages).toEqual([['a/job-0', 'a/job-1'], ['a/job-2', 'a/job-3'], ['a/job-4']]);
  for (const [query, param] of [
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['after=%00', 'after'],
    ['before=x', 'before'],
  ] as const) {
    const refused = await get(`/api/jobs?${query}`, a);
    expect(refused.status).toBe(400);
    expect(errorOf(refused.json)).toMatchObject({ code: 'invalid_request', param });
  }
});

test("a job's history stays when it is removed, and what never was a job of the tenant has none", async () => {
  const globex = await operatorOf('globex');
  expect((await make(acme, 'brief')).status).toBe(201);
  expect((await get('/api/jobs/brief/runs')).json).toEqual({ runs: [] });
  const unknown = await get('/api/jobs/breif/runs');
  expect([unknown.status, errorOf(unknown.json).code]).toEqual([404, 'not_found']);
  expect((await ask(`${mizan.url}/api/jobs/brief/runs`, { token: globex })).status).toBe(404);
  expect((await post(`${mizan.url}/api/jobs/brief/run`, acme, {})).status).toBe(202);
  expect((await ask(`${mizan.url}/api/jobs/brief`, { method: 'DELETE', token: acme })).status).toBe(200);
  expect((await get('/api/jobs/brief/runs')).json).toMatchObject({ runs: [{ job: 'acme/brief' }] });
  expect((await get('/api/jobs/brief/runs?status=failed')).json).toEqual({ runs: [] });
});

test('as many runs wait as may, and who asks for one more is told how many there are', async () => {
  expect((await make(acme, 'busy')).status).toBe(201);
  const run = () => post(`${mizan.url}/api/jobs/busy/run`, acme, {});
  expect([(await run()).status, (await run()).status]).toEqual([202, 202]);
  const refused = await run();
  expect(refused.status).toBe(429);
  expect(errorOf(refused.json)).toMatchObject({ code: 'job_queue_full' });
  expect(errorOf(refused.json).message).toContain('2 runs of "acme/busy" wait already');
});
