import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { PostgresServer } from '../../test/support/postgres.ts';
import { anyPostgres } from '../../test/support/postgres.ts';
import { closedPort, startUpstream } from '../../test/support/upstream.ts';
import { MizanError } from '../core/errors.ts';
import type { RunAgent } from '../core/agent-runs.ts';
import type { StoredJob } from '../core/jobs.ts';
import type { InstanceCheck, WatchedInstance } from '../core/model-health.ts';
import { isProven } from '../core/model-health.ts';
import type { Provider } from '../core/upstream.ts';
import { createProvider } from '../providers/index.ts';
import { simulatorOptionsSchema } from '../providers/simulator/options.ts';
import { startSimulator } from '../providers/simulator/server.ts';
import type { JobContext } from '../scheduler/contract.ts';
import { modelHealth } from '../scheduler/jobs/model-health.ts';
import type { Store } from '../store/index.ts';
import { openStore } from '../store/index.ts';
import { probesOf } from './probes.ts';

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const folders: string[] = [];
const opened: Store[] = [];
let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(async () => {
  await Promise.all(opened.map((store) => store.close()));
  await server.end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function newStore(url: string | null): Promise<Store> {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-health-'));
  folders.push(folder);
  const store = await openStore({ folder, url, events: silent });
  opened.push(store);
  return store;
}

let shared: Store | undefined;

/** The same one again and again, with nothing in it. */
async function emptied(): Promise<Store> {
  shared ??= await newStore(null);
  await shared.modelHealth.note([]);
  await shared.modelHealth.prune(Number.MAX_SAFE_INTEGER);
  return shared;
}

/** A minute that has begun, and some seconds of it. */
const start = Date.UTC(2026, 0, 1, 12, 0, 10);
const minute = 60_000;
const unasked: RunAgent = async () => expect.unreachable();

/** A provider at `origin`, of that kind. */
function at(origin: string, kind: 'openai-compatible' | 'openrouter' = 'openai-compatible'): Provider {
  const settings = { kind, apiKey: null, baseUrl: `${origin}/v1`, headers: {}, prices: {} } as const;
  const provider = createProvider('upstream', settings, new ManualClock(start));
  onTestFinished(() => provider.close());
  return provider;
}

/** The job over one instance of the model `m`. */
function healthOf(
  store: Store,
  provider: Provider,
  more: { readonly probe?: string; readonly kind?: string; readonly runAgent?: RunAgent; readonly ids?: string[] } = {},
) {
  const { probe, kind = 'openai-compatible', runAgent = unasked, ids = ['a'] } = more;
  const clock = new ManualClock(start);
  const changes: string[] = [];
  const instances: WatchedInstance[] = ids.map((instance) => ({
    model: 'm',
    instance,
    provider: 'upstream',
    providerKind: kind,
    upstreamModel: 'author/name',
  }));
  const providers = new Map([['upstream', provider]]);
  const probes = probesOf({ providers, runAgent, clock, deadlines: { list: 300, chat: 300 } });
  const job = modelHealth({
    instances,
    store: store.modelHealth,
    probes,
    clock,
    changed: ({ instance, state }, before) => void changes.push(`${instance} ${before.state} ${state}`),
  });
  const said: string[] = [];
  const context = {
    job: { settings: probe === undefined ? {} : { probe } } as unknown as StoredJob,
    signal: new AbortController().signal,
    say: (line: string) => void said.push(line),
    confirm: async () => {},
  } as unknown as JobContext;
  const look = async (): Promise<InstanceCheck> => {
    await job.run(context);
    const [check] = await store.modelHealth.checks();
    return check!;
  };
  const count = (ok: number, failed: number, instance = 'a') =>
    store.modelHealth.add([
      {
        model: 'm',
        instance,
        start: Math.floor(clock.now() / minute) * minute,
        ok,
        failed,
        okMs: ok * 40,
        asked: 0,
        unanswered: 0,
      },
    ]);
  return { clock, look, count, changes, said, context };
}

describe.each(['SQLite', 'PostgreSQL'])('the health of models, kept in %s', { timeout: 60_000 }, (engine) => {
  const open = async (): Promise<Store> => newStore(engine === 'SQLite' ? null : await server.newDatabase());

  test('requests say how an instance does, and nobody is asked', async () => {
    const upstream = await startUpstream((_, response) => response.writeHead(500).end());
    const { look, count, clock } = healthOf(await open(), at(upstream.origin));
    await count(30, 10);
    await count(20, 0);
    expect(await look()).toEqual({
      model: 'm',
      instance: 'a',
      state: 'up',
      source: 'traffic',
      latencyMs: 40,
      uptime: { m5: 0.8333, h1: 0.8333, d1: 0.8333 },
      detail: '10 of its last 60 attempts failed.',
      downs: 0,
      since: start,
      checkedAt: start,
    });
    clock.advance(30 * minute);
    await count(0, 4);
    const down = await look();
    expect(down).toMatchObject({ state: 'down', source: 'traffic', uptime: { m5: 0, h1: 0.7813, d1: 0.7813 } });
    expect(isProven(down)).toBe(true);
    expect(upstream.requests).toEqual([]);
  });

  test('what others add is added, and what is not looked at any more is gone', async () => {
    const store = await open();
    const both = healthOf(store, at(await closedPort()), { ids: ['a', 'b'], probe: 'off' });
    await Promise.all([both.count(1, 1), both.count(2, 0), both.count(0, 3, 'b')]);
    await both.look();
    expect(await store.modelHealth.sums(0)).toEqual(
      expect.arrayContaining([
        { model: 'm', instance: 'a', ok: 3, failed: 1, okMs: 120, asked: 0, unanswered: 0 },
        { model: 'm', instance: 'b', ok: 0, failed: 3, okMs: 0, asked: 0, unanswered: 0 },
      ]),
    );
    expect((await store.modelHealth.checks()).map(({ instance, state }) => [instance, state])).toEqual([
      ['a', 'up'],
      ['b', 'down'],
    ]);
    const one = healthOf(store, at(await closedPort()), { probe: 'off' });
    one.clock.advance(26 * 60 * minute);
    await one.look();
    expect((await store.modelHealth.checks()).map(({ instance }) => instance)).toEqual(['a']);
    expect(await store.modelHealth.sums(0)).toEqual([]);
  });

  test('a question that fails twice is proof, once is none; that it is back is noted', async () => {
    let status = 200;
    const upstream = await startUpstream((_, response) => response.writeHead(status).end('{"data":[]}'));
    const { look, clock, changes, said } = healthOf(await open(), at(upstream.origin));
    expect(await look()).toMatchObject({ state: 'up', source: 'probe', uptime: { m5: 1 }, since: start });
    expect(upstream.requests[0]).toMatchObject({ method: 'GET', path: '/v1/models' });
    status = 503;
    clock.advance(minute);
    const first = await look();
    expect(first).toMatchObject({
      state: 'down',
      downs: 1,
      detail: 'It answered with status 503.',
      uptime: { m5: 0.5 },
    });
    expect(isProven(first)).toBe(false);
    clock.advance(minute);
    const second = await look();
    expect(second).toMatchObject({ state: 'down', downs: 2, since: start + minute, uptime: { m5: 0.3333 } });
    expect(isProven(second)).toBe(true);
    status = 200;
    clock.advance(minute);
    expect(await look()).toMatchObject({ state: 'up', downs: 0, since: start + 3 * minute });
    expect(changes).toEqual(['a up down', 'a down up']);
    expect(said).toEqual(['m/a was up and is down. It answered with status 503.', 'm/a was down and is up. ']);
  });
});

test.for([
  ['status', { kind: 'status', code: 500 }, 'down', 'It answered with status 500.'],
  ['stall', { kind: 'stall' }, 'down', 'It did not answer: no whole answer within 0.3 s.'],
  ['cut', { kind: 'cut' }, 'down', 'It did not answer: connection closed without a complete answer.'],
  ['reset', { kind: 'reset' }, 'down', 'It did not answer: connection reset.'],
  ['a wrong key', { kind: 'status', code: 401 }, 'down', 'It refuses our key.'],
  ['a list that nobody may see', { kind: 'status', code: 403 }, 'unknown', 'It answered with status 403.'],
  ['a list that is not there', { kind: 'status', code: 404 }, 'unknown', 'It answered with status 404.'],
  ['too many questions', { kind: 'status', code: 429 }, 'unknown', 'It answered with status 429.'],
] as const)('a question meets %s over HTTP, and in this process', async ([, fault, state, detail]) => {
  const simulator = await startSimulator({ options: { faults: [fault] } });
  onTestFinished(() => simulator.close());
  const store = await emptied();
  expect(await healthOf(store, at(simulator.url)).look()).toMatchObject({ state, detail, source: 'probe' });
  const clock = new ManualClock(start);
  const options = simulatorOptionsSchema.parse({ faults: [fault] });
  const inside = createProvider('sim', { kind: 'simulator', options }, clock);
  onTestFinished(() => inside.close());
  expect(await healthOf(await emptied(), inside).look()).toMatchObject({ state });
});

test('an upstream that is not there, and one that the guard keeps from', async () => {
  const store = await emptied();
  const detail = 'It could not be reached: connection refused.';
  expect(await healthOf(store, at(await closedPort())).look()).toMatchObject({ state: 'down', detail });
  const forbidden = await healthOf(store, at('http://169.254.169.254')).look();
  expect(forbidden).toMatchObject({ state: 'unknown', detail: 'It was not asked: an address that is not allowed.' });
});

test('instances of one provider are asked about together', async () => {
  const upstream = await startUpstream((_, response) => response.end('{}'));
  await healthOf(await emptied(), at(upstream.origin), { ids: ['a', 'b', 'c'] }).look();
  expect(upstream.requests).toHaveLength(1);
});

test.for([
  [{ endpoints: [{ status: 0, uptime_last_5m: 99, latency_last_30m: { p50: 310.4 } }, { status: -2 }] }, 'up', 310],
  [{ endpoints: [{ uptime_last_30m: 12 }, { status: -1, uptime_last_30m: 100 }] }, 'down', null],
] as const)('OpenRouter’s statistics %j say that a model is %s', async ([data, state, latencyMs]) => {
  const upstream = await startUpstream((_, response) => response.end(JSON.stringify({ data })));
  const check = await healthOf(await emptied(), at(upstream.origin, 'openrouter'), { kind: 'openrouter' }).look();
  expect(check).toMatchObject({ state, latencyMs, source: 'statistics' });
  expect(upstream.requests.map(({ path }) => path)).toEqual(['/v1/models/author/name/endpoints']);
});

test('statistics that say nothing are followed by a question', async () => {
  const upstream = await startUpstream((request, response) => {
    if (request.path.endsWith('/endpoints')) response.end('<html>');
    else response.end('{"data":[]}');
  });
  const check = await healthOf(await emptied(), at(upstream.origin, 'openrouter'), { kind: 'openrouter' }).look();
  expect(check).toMatchObject({ state: 'up', source: 'probe' });
});

test.for([
  ['answers', async () => ({ latencyMs: 12 }), 'up'],
  ['fails', async () => Promise.reject(new MizanError('upstream_error', 'x')), 'down'],
  ['refuses what it is asked', async () => Promise.reject(new MizanError('upstream_rejected', 'x')), 'unknown'],
  ['is not asked for want of money', async () => Promise.reject(new MizanError('budget_spent', 'x')), 'unknown'],
  [
    'never answers',
    ({ signal }: { signal: AbortSignal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('left')))),
    'down',
  ],
] as const)('a model that %s for one token', async ([, answer, state]) => {
  const runAgent = ((order: Parameters<RunAgent>[0]) => {
    expect(order).toMatchObject({ target: { model: 'upstream/author/name' }, maxTokens: 1, tenant: 'system' });
    return answer(order);
  }) as RunAgent;
  const check = await healthOf(await emptied(), at(await closedPort()), { probe: 'chat', runAgent }).look();
  expect(check).toMatchObject({ state, source: 'probe' });
});

test('with probes off nothing is asked, and nothing is known', async () => {
  const { look } = healthOf(await emptied(), at(await closedPort()), { probe: 'off' });
  expect(await look()).toMatchObject({ state: 'unknown', source: 'none', uptime: { m5: null } });
});
