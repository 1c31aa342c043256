import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ask, post } from './support/http.ts';
import type { Running, RunningProcess } from './support/mizan.ts';
import { furnish, startProcess } from './support/mizan.ts';
import { says, startUpstream } from './support/model-service.ts';
import { ownPostgres } from './support/postgres.ts';

vi.setConfig({ testTimeout: 240_000 });

/** Another process on the same database, with a data folder of its own. */
async function beside({ dataFolder }: Running, config: object): Promise<RunningProcess> {
  const house = await furnish(config);
  await mkdir(house.dataFolder, { recursive: true });
  await copyFile(join(dataFolder, 'master.key'), join(house.dataFolder, 'master.key'));
  const running = await startProcess(config, house);
  onTestFinished(() => running.end());
  return running;
}

test('a budget that was spent by one process is spent for another on the same PostgreSQL, and both show it', async () => {
  const upstream = await startUpstream({ quick: says('a', 'b', 'c') });
  onTestFinished(() => upstream.close());
  const postgres = await ownPostgres();
  onTestFinished(() => postgres.end());
  const price = { input: 0, output: 1_000_000 };
  const config = {
    auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
    database: { url: await postgres.newDatabase() },
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: { quick: { instances: [{ id: 'quick', provider: 'up', model: 'quick', price }] } },
    budgets: { all: { usd: 30, per: 'total' } },
  };
  const first = await startProcess(config);
  onTestFinished(() => first.end());
  const token = await first.token();
  const viewer = await first.token({ role: 'viewer', tenant: 'default', scope: 'any' });
  const chat = ({ url }: Running) =>
    post(`${url}/v1/chat/completions`, token, {
      model: 'quick',
      max_tokens: 3,
      messages: [{ role: 'user', content: 'Hi' }],
    });
  const other = await beside(first, config);
  expect((await chat(other)).status).toBe(200);
  for (let i = 0; i < 4; i++) expect((await chat(first)).status).toBe(200);
  const usedAt = async ({ url }: Running): Promise<unknown> => {
    const { json } = await ask(`${url}/api/budgets?tenant=*`, { token: viewer });
    return (json as { budgets: { uses: { used_usd: string }[] }[] }).budgets[0]?.uses[0]?.used_usd;
  };
  // What the one has paid comes to the other behind its requests.
  await vi.waitFor(async () => expect([await usedAt(first), await usedAt(other)]).toEqual(['15', '15']), 30_000);
  const more = [];
  for (let i = 0; i < 12; i++) more.push((await chat(other)).status);
  expect(more.filter((status) => status === 200)).toHaveLength(5);
  // A process whose data folder knows nothing of it.
  await vi.waitFor(async () => expect(await usedAt(first)).toBe('30'), 30_000);
  const late = await beside(first, config);
  expect([(await chat(late)).status, (await chat(first)).status]).toEqual([402, 402]);
});
