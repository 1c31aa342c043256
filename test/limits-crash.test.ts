import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { mizan as command } from './support/command.ts';
import type { Answer } from './support/http.ts';
import { errorOf, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, startProcess } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { says, startUpstream } from './support/model-service.ts';

vi.setConfig({ testTimeout: 120_000 });

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream({ quick: says('a', 'b', 'c'), never: () => {} });
});

afterAll(() => upstream.close());

/** A dollar for every token of the answer. */
const price = { input: 0, output: 1_000_000 };

const chat = (mizan: RunningProcess, token: string, model: string): Promise<Answer> =>
  post(`${mizan.url}/v1/chat/completions`, token, {
    model,
    max_tokens: 3,
    messages: [{ role: 'user', content: 'Hi' }],
  });

async function budgets(mizan: RunningProcess): Promise<{ readonly used_usd: string; readonly left_usd: string }> {
  const { stdout, code } = await command(['budgets', 'list', '--json', ...commonOptions(mizan)]);
  expect(code).toBe(0);
  const [budget] = JSON.parse(stdout) as { uses: { used_usd: string; left_usd: string }[] }[];
  return budget!.uses[0]!;
}

test('kill -9 in the middle of 100 reservations gives all of them back, and charges nobody twice', async () => {
  const instance = (model: string) => ({ instances: [{ id: model, provider: 'up', model, price }] });
  const config = {
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: { quick: instance('quick'), never: instance('never') },
    budgets: { team: { tenant: 'default', usd: 309, per: 'month' } },
  };
  const first = await startProcess(config);
  let token = await first.token();
  for (let i = 0; i < 3; i++) expect((await chat(first, token, 'quick')).status).toBe(200);
  const held = Array.from({ length: 100 }, () => chat(first, token, 'never').catch(() => null));
  await vi.waitFor(() => expect(upstream.requestsTo('never').length).toBe(100), 30_000);
  const refused = await chat(first, token, 'quick');
  expect([refused.status, errorOf(refused.json).code]).toEqual([402, 'budget_spent']);
  expect(errorOf(refused.json).message).toContain('9 USD are used and 300 USD are held for requests under way');
  first.process.signal('SIGKILL');
  await first.process.ended;
  expect(await Promise.all(held)).toEqual(Array.from({ length: 100 }, () => null));

  expect(await budgets(first)).toMatchObject({ used_usd: '9', left_usd: '300' });
  const second = await startProcess(config, first);
  try {
    token = await second.token();
    const answers = await Promise.all(Array.from({ length: 120 }, () => chat(second, token, 'quick')));
    expect(answers.filter(({ status }) => status === 200).length).toBe(100);
    expect(await budgets(second)).toMatchObject({ used_usd: '309', left_usd: '0' });
    const checked = await command(['budgets', 'check', ...commonOptions(second)]);
    expect(checked).toMatchObject({ code: 0, stderr: 'The ledger adds up: 103 rows of 103 requests: 309 USD.\n' });
  } finally {
    await second.end();
  }
});
