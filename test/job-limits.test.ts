import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';

let mizan: RunningProcess;

beforeAll(async () => {
  mizan = await startProcess(
    {
      providers: { sim: { kind: 'simulator' } },
      models: {
        words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator', price: { input: 1, output: 1 } }] },
      },
      agents: { assistant: { model: 'words' } },
      limits: { 'each-person': { principal: 'sara', tenant: 'b', rpm: 1 } },
      schedule: { jobs: { 'model-health': { enabled: false } } },
    },
    undefined,
    'all',
  );
});

afterAll(() => mizan.end());

interface Ran {
  readonly status: string;
  readonly error: string | null;
}

/** Makes a job with a token or key, runs it once, and waits for what becomes of it. */
async function ran(name: string, token: string): Promise<Ran> {
  const at = `${mizan.url}/api/jobs`;
  const made = { name, every: '300d', retries: 0, settings: { agent: 'assistant', input: 'Hi' } };
  expect((await post(at, token, made)).status).toBe(201);
  expect((await post(`${at}/${name}/run`, token, {})).status).toBe(202);
  for (;;) {
    const { last } = (await ask(`${at}/${name}`, { token })).json as { last: Ran | null };
    if (last !== null && !['waiting', 'running'].includes(last.status)) return last;
  }
}

async function keyWith(limits: object): Promise<{ readonly id: string; readonly key: string }> {
  const admin = await mizan.token({ tenant: 'a', role: 'admin' });
  const made = await post(`${mizan.url}/api/keys`, admin, { name: 'robot', role: 'operator', limits });
  expect(made.status).toBe(201);
  return made.json as { id: string; key: string };
}

const call = (token: string): Promise<{ status: number }> =>
  post(`${mizan.url}/ai-process`, token, { agent: 'assistant', input: 'Hi', params: { max_tokens: 10 } });

test('a job is held by the limits of the API key that made it, and its run says so', async () => {
  const { id, key } = await keyWith({ rpm: 2 });
  expect((await call(key)).status).toBe(200);
  expect(await ran('first', key)).toMatchObject({ status: 'succeeded' });
  const { status, error } = await ran('second', key);
  expect(status).toBe('failed');
  expect(error).toMatch(
    new RegExp(
      `^The limit of the API key ${id} of 2 requests per minute is reached: 2 are used\\. There is room again`,
    ),
  );
  // What the job used is used for the key.
  expect((await call(key)).status).toBe(429);
});

test('a job spends the budget of the API key that made it, and no more than that', async () => {
  const { id, key } = await keyWith({ budget: { usd: 0.005, per: 'day' } });
  expect(await ran('third', key)).toMatchObject({ status: 'succeeded' });
  const admin = await mizan.token({ tenant: 'a', role: 'admin' });
  const { budgets } = (await ask(`${mizan.url}/api/budgets`, { token: admin })).json as {
    budgets: { name: string; uses: { used_usd: string }[] }[];
  };
  expect(Number(budgets.find(({ name }) => name === id)?.uses[0]?.used_usd)).toBeGreaterThan(0);
  const poor = await keyWith({ budget: { usd: 0.000001, per: 'day' } });
  const { status, error } = await ran('fourth', poor.key);
  expect(status).toBe('failed');
  expect(error).toContain(`The budget of the API key ${poor.id} of 0.000001 USD per day`);
});

test('a job is held by the limits of the principal whose token made it', async () => {
  const sara = await mizan.token({ tenant: 'b', subject: 'sara', role: 'operator' });
  expect(await ran('fifth', sara)).toMatchObject({ status: 'succeeded' });
  const { status, error } = await ran('sixth', sara);
  expect(status).toBe('failed');
  expect(error).toContain('The limit "each-person" of 1 requests per minute is reached: 1 are used.');
  const omar = await mizan.token({ tenant: 'b', subject: 'omar', role: 'operator' });
  expect(await ran('seventh', omar)).toMatchObject({ status: 'succeeded' });
});
