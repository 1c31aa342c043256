import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, errorOf, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';

let mizan: RunningProcess;

beforeAll(async () => {
  mizan = await startProcess(
    {
      providers: { sim: { kind: 'simulator' } },
      models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
      agents: { assistant: { model: 'words' }, secret: { model: 'words' } },
      schedule: {
        jobs: {
          'model-health': { enabled: false },
          daily: { type: 'agent', agent: 'assistant', input: 'Hi', every: '300d', tenant: 'c' },
        },
      },
    },
    undefined,
    'all',
  );
});

afterAll(() => mizan.end());

interface ShownJob {
  readonly name: string;
  readonly last: { readonly output: { readonly output: string } | null; readonly error: string | null } | null;
}

const operatorOf = (tenant: string): Promise<string> => mizan.token({ tenant, role: 'operator' });
const order = (agent = 'assistant', input = 'Say this') => ({
  name: 'daily',
  every: '300d',
  settings: { agent, input },
});
const jobs = `/api/jobs`;
const found = (name: string, token: string) => ask(`${mizan.url}${jobs}/${encodeURIComponent(name)}`, { token });

/** Runs it and waits for its end. */
async function ran(name: string, token: string): Promise<ShownJob> {
  expect((await post(`${mizan.url}${jobs}/${name}/run`, token, {})).status).toBe(202);
  for (;;) {
    const seen = (await found(name, token)).json as ShownJob & { last: { status: string } | null };
    if (seen.last !== null && !['waiting', 'running'].includes(seen.last.status)) return seen;
  }
}

test('tenants have jobs of the same name, and none sees or touches another’s, nor what came of it', async () => {
  const [a, b] = [await operatorOf('a'), await operatorOf('b')];
  expect(await post(`${mizan.url}${jobs}`, a, order())).toMatchObject({ status: 201, json: { name: 'a/daily' } });
  expect((await ran('daily', a)).last?.output?.output).not.toBe('');
  const made = await post(`${mizan.url}${jobs}`, b, order('assistant', 'Say that'));
  expect(made).toMatchObject({ status: 201, json: { name: 'b/daily', last: null, last_success_at: null } });
  const runs = await ask(`${mizan.url}${jobs}/daily/runs`, { token: b });
  expect(runs.json).toEqual({ runs: [] });
  for (const name of ['a/daily', 'a%2Fdaily']) expect((await found(name, b)).status).toBe(404);
  expect((await ask(`${mizan.url}${jobs}/a%2Fdaily/runs`, { token: b })).status).toBe(404);
  expect((await ask(`${mizan.url}${jobs}/a%2Fdaily`, { method: 'DELETE', token: b })).status).toBe(404);
  // The configuration's job of that name is a third one's.
  expect((await found('daily', await operatorOf('c'))).json).toMatchObject({ source: 'config', tenant: 'c' });
  // After a removal the name is free, and what ran under it is gone with whom it belonged to.
  expect((await ask(`${mizan.url}${jobs}/daily`, { method: 'DELETE', token: a })).status).toBe(200);
  expect((await found('daily', b)).json).toMatchObject({ name: 'b/daily', last: null });
  expect((await ask(`${mizan.url}${jobs}/daily`, { method: 'DELETE', token: b })).status).toBe(200);
});

test('who looks after every tenant finds a job by its tenant and its name', async () => {
  const a = await operatorOf('a');
  const any = await mizan.token({ role: 'admin', scope: 'any' });
  expect((await post(`${mizan.url}${jobs}`, a, order())).status).toBe(201);
  expect((await ask(`${mizan.url}${jobs}/a%2Fdaily?tenant=*`, { token: any })).json).toMatchObject({ tenant: 'a' });
  expect((await ask(`${mizan.url}${jobs}/daily?tenant=a`, { token: any })).json).toMatchObject({ name: 'a/daily' });
  expect((await ask(`${mizan.url}${jobs}/daily`, { method: 'DELETE', token: a })).status).toBe(200);
});

test('a job runs no agent that its maker may not call, and none once what it was made with is revoked', async () => {
  const admin = await mizan.token({ tenant: 'd', role: 'admin' });
  const grant = { name: 'narrow', role: 'operator', agents: ['assistant'] };
  const key = (await post(`${mizan.url}/api/keys`, admin, grant)).json as { id: string; key: string };
  const refused = await post(`${mizan.url}${jobs}`, key.key, order('secret'));
  expect(refused.status).toBe(403);
  expect(errorOf(refused.json)).toMatchObject({ code: 'forbidden' });
  expect(errorOf(refused.json).message).toContain('"secret"');
  expect((await post(`${mizan.url}${jobs}`, key.key, { ...order(), settings: { ...order().settings } })).status).toBe(
    201,
  );
  expect((await ran('daily', key.key)).last).toMatchObject({ status: 'succeeded' });
  expect((await ask(`${mizan.url}/api/keys/${key.id}`, { method: 'DELETE', token: admin })).status).toBe(200);
  const { last } = await ran('daily', admin);
  expect(last).toMatchObject({ error: 'What "narrow" made this job with was revoked.', output: null });
});

test('what Mizan’s own jobs say is shown to those only who look after every tenant', async () => {
  const any = await mizan.token({ role: 'admin', scope: 'any' });
  const { last } = await ran('retention', any);
  expect(last).toMatchObject({ status: 'succeeded', output: { runs: 0 } });
  const own = await mizan.token({ tenant: 'a', role: 'admin' });
  expect((await found('retention', own)).json).toMatchObject({ last: { status: 'succeeded', output: null, log: '' } });
  const { json } = await ask(`${mizan.url}${jobs}/retention/runs`, { token: own });
  expect(json).toMatchObject({ runs: [{ output: null, log: '' }] });
});
