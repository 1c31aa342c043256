import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { JobRun, StoredJob } from '../src/core/jobs.ts';
import type { FetchedPrices } from '../src/core/prices.ts';
import { guardedFetch } from '../src/egress/fetch.ts';
import { EgressGuard } from '../src/egress/guard.ts';
import { egressRules } from '../src/egress/rules.ts';
import { shipped } from '../src/providers/price-book.ts';
import { priceRefresh } from '../src/scheduler/jobs/price-refresh.ts';
import { openStore } from '../src/store/sqlite/index.ts';
import { ManualClock } from './support/clock.ts';
import { mizan as command } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import { ask, errorOf, post } from './support/http.ts';
import { commonOptions, startProcess } from './support/mizan.ts';

vi.setConfig({ testTimeout: 240_000 });

/** A source of prices that says what a test wants it to. */
async function startSource(): Promise<{ readonly url: string; answer: { status: number; body: string } }> {
  const source = { url: '', answer: { status: 200, body: '' } };
  const server = createServer((_request, response) => {
    response.writeHead(source.answer.status, { 'content-type': 'application/json' }).end(source.answer.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  source.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`;
  return source;
}

/** As OpenRouter lists models: US dollars per token, as texts. */
function listOf(models: Readonly<Record<string, object>>): { status: number; body: string } {
  const data = Object.entries(models).map(([id, pricing]) => ({
    id,
    context_length: 200_000,
    top_provider: { max_completion_tokens: 1000 },
    pricing: { prompt: '0.000001', completion: '0.000002', ...pricing },
  }));
  return { status: 200, body: JSON.stringify({ data }) };
}

const clock = new ManualClock(Date.UTC(2026, 10, 26));

/** Runs the job once over a store. @returns What came of it, and what it said. */
async function refresh(prices: FetchedPrices, url: string, from: readonly string[] = ['openrouter']) {
  const lines: string[] = [];
  const recorded: object[] = [];
  const job = priceRefresh({
    outgoing: guardedFetch(new EgressGuard(egressRules([]))),
    prices,
    shipped,
    openRouterUrl: `${url}/models`,
    audit: { record: (event) => void recorded.push(event) },
    clock,
  });
  const settings = job.check({ from }, { tenant: 'system' });
  const output = await job
    .run({
      job: { settings, source: 'config' } as unknown as StoredJob,
      run: {} as JobRun,
      signal: AbortSignal.timeout(60_000),
      say: (line) => void lines.push(line),
      confirm: async () => {},
      keep() {},
    })
    .catch((error: unknown) => error);
  return { output, lines: lines.join('\n'), recorded };
}

async function keptPrices(): Promise<FetchedPrices> {
  const store = await openStore(temporaryFolder());
  onTestFinished(() => store.close());
  return store.prices;
}

const inputOf = (prices: FetchedPrices, model: string): number | undefined =>
  prices.all()[0]?.tables['openrouter']?.prices[model]?.input;

test('OpenRouter’s list becomes prices per million, with steps, pictures and lengths; what is no price is left out', async () => {
  const source = await startSource();
  const prices = await keptPrices();
  source.answer = listOf({
    'a/plain': { input_cache_read: '0.00000010000000000000001', image: '0.004' },
    'a/long': { overrides: [{ min_prompt_tokens: 272_000, prompt: '0.000002', completion: '0.000003' }] },
    'openrouter/auto': { prompt: '-1', completion: '-1' },
    'a/painter': { image_output: '0.00003' },
  });
  const { output, recorded } = await refresh(prices, source.url);
  expect(output).toMatchObject({ sources: [{ from: 'openrouter', models: 2, unusable: 2, new: 2 }] });
  expect(prices.all()[0]?.tables['openrouter']).toEqual({
    source: `${source.url}/models`,
    date: '2026-11-26',
    prices: {
      'a/plain': { input: 1, cachedInput: 0.1, output: 2, image: 0.004, maxOutputTokens: 1000 },
      'a/long': { input: 1, output: 2, maxOutputTokens: 1000, long: { over: 272_000, input: 2, output: 3 } },
    },
  });
  expect(recorded).toMatchObject([{ action: 'prices.refresh', target: 'prices:openrouter' }]);
});

test.each([
  ['an error', { status: 500, body: '{}' }, 'it answered 500'],
  ['a redirect', { status: 302, body: '' }, /prices|302/],
  ['no JSON', { status: 200, body: '<html>' }, 'is no JSON'],
  ['another document', { status: 200, body: '{"data":7}' }, 'no list "data"'],
  ['an empty list', { status: 200, body: '{"data":[]}' }, 'no price that can be used'],
  ['nothing but nonsense', { status: 200, body: '{"data":[{"id":"a/b","pricing":{"prompt":"much"}}]}' }, 'no price'],
  ['far fewer models', listOf({ 'a/0': {} }), 'openrouter has 1 models, and had 20'],
])('after %s the last good prices stay, and the run fails with the reason', async (_what, answer, reason) => {
  const source = await startSource();
  const prices = await keptPrices();
  source.answer = listOf(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`a/${i}`, {}])));
  await refresh(prices, source.url);
  const before = prices.all();
  source.answer = answer;
  const { output, lines } = await refresh(prices, source.url);
  expect(output).toMatchObject({ code: 'upstream_error', message: expect.stringMatching(reason) as string });
  expect(lines).toContain('What it had before stays.');
  expect(prices.all()).toEqual(before);
});

test('a price that is suddenly far away, or nothing, is believed when the next run has it again', async () => {
  const source = await startSource();
  const prices = await keptPrices();
  source.answer = listOf({ 'a/near': {}, 'a/dear': {}, 'a/free': {} });
  await refresh(prices, source.url);
  source.answer = listOf({
    'a/near': { prompt: '0.000005' },
    'a/dear': { prompt: '0.000011' },
    'a/free': { prompt: '0', completion: '0' },
  });
  const first = await refresh(prices, source.url);
  expect(first.output).toMatchObject({ sources: [{ changed: 1, doubted: 2 }] });
  expect(first.lines).toContain('openrouter a/dear: 1/2 to 11/2 USD per million tokens; not believed');
  expect(['a/near', 'a/dear', 'a/free'].map((model) => inputOf(prices, model))).toEqual([5, 1, 1]);
  const second = await refresh(prices, source.url);
  expect(second.output).toMatchObject({ sources: [{ changed: 2, doubted: 0 }] });
  expect(['a/near', 'a/dear', 'a/free'].map((model) => inputOf(prices, model))).toEqual([5, 11, 0]);
});

test('a source that fails does not keep another from being asked', async () => {
  const source = await startSource();
  const prices = await keptPrices();
  source.answer = {
    status: 200,
    body: JSON.stringify({
      mine: { source: 'a contract', date: '2026-11-01', prices: { m: { input: 7, output: 8 } } },
    }),
  };
  const { output } = await refresh(prices, source.url, ['openrouter', `${source.url}/mine.json`]);
  expect(output).toMatchObject({ message: expect.stringContaining('openrouter: it has no list') as string });
  expect(prices.all()).toMatchObject([
    { from: `${source.url}/mine.json`, tables: { mine: { prices: { m: { input: 7 } } } } },
  ]);
});

test('a running Mizan pays by what was fetched, shows it, and knows it after a restart', async () => {
  const source = await startSource();
  source.answer = listOf({ 'new/model': { prompt: '0.009', completion: '0.0095' }, 'new/cheap': {} });
  const config = {
    providers: { openrouter: { apiKey: 'sk-nothing', baseUrl: source.url }, sim: { kind: 'simulator' } },
    models: {
      dear: { instances: [{ id: 'a', provider: 'openrouter', model: 'new/cheap' }] },
    },
    agents: { assistant: { model: 'dear' } },
    budgets: { all: { usd: 1, per: 'total' } },
    schedule: { jobs: { 'price-refresh': { cron: '0 5 1 1 *' }, 'model-health': { enabled: false } } },
  };
  const mizan = await startProcess(config, undefined, 'all');
  onTestFinished(() => mizan.end());
  const asked = () => post(`${mizan.url}/v1/chat/completions`, token, chat);
  const chat = { model: 'openrouter/new/model', messages: [{ role: 'user', content: 'Hi' }] };
  const token = await mizan.token();
  expect(errorOf((await asked()).json)).toMatchObject({ code: 'price_unknown' });
  const run = await command(['jobs', 'run', 'price-refresh', ...commonOptions(mizan)]);
  expect(run.stdout + run.stderr).toContain('2 new');
  const viewer = await mizan.token({ role: 'viewer' });
  const shown = async (url: string): Promise<unknown> =>
    (await ask(`${url}/api/prices?model=new/mo`, { token: viewer })).json;
  const line = { provider: 'openrouter', model: 'new/model', input: 9000, output: 9500, origin: 'fetched' };
  // Another process's change is seen within a second.
  let seen: unknown;
  do seen = await shown(mizan.url);
  while ((seen as { prices: unknown[] }).prices.length === 0);
  expect(seen).toMatchObject({ prices: [{ ...line, max_output_tokens: 1000 }] });
  expect(errorOf((await asked()).json)).toMatchObject({ code: 'budget_spent' });
  mizan.process.signal('SIGKILL');
  await mizan.process.ended;
  const again = await startProcess(config, mizan, 'all');
  onTestFinished(() => again.end());
  expect(await shown(again.url)).toMatchObject({ prices: [line] });
  const listed = await command(['prices', 'list', 'new/mo', '--json', ...commonOptions(again)]);
  expect(JSON.parse(listed.stdout)).toMatchObject([line]);
});
