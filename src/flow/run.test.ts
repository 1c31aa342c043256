import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { cacheOf } from '../../test/support/cache.ts';
import type { TestCall } from '../../test/support/calls.ts';
import { chatRequest, principal, servedOf, testCall } from '../../test/support/calls.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { temporaryFolder } from '../../test/support/folder.ts';
import type { Play } from '../../test/support/scene.ts';
import { answers, failsWith } from '../../test/support/scene.ts';
import { finishes, role, says, ScriptedProvider, uses } from '../../test/support/scripted-provider.ts';
import type { ChatRequest } from '../core/chat.ts';
import { MizanError } from '../core/errors.ts';
import { newRequestId } from '../core/ids.ts';
import { seededRandom } from '../core/random.ts';
import type { RequestLog, RequestRecord } from '../core/request-record.ts';
import { databaseFile } from '../store/sqlite/file.ts';
import { openStore } from '../store/sqlite/index.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { Agents } from './agents/agents.ts';
import type { Outcome } from './call.ts';
import { limiterEvents } from './limits/figures.ts';
import { Limiter } from './limits/limiter.ts';
import { Models } from './routing/models.ts';
import { run } from './run.ts';

interface Stage {
  readonly clock: ManualClock;
  readonly metrics: Metrics;
  readonly attempts: ScriptedProvider['attempts'];
  call(target: ChatRequest['target'], stream?: boolean): TestCall;
  run(call: TestCall, requestLog?: RequestLog): Promise<Outcome>;
  /** What another process sees in the database. */
  rows(): Record<string, unknown>[];
  readonly logged: () => string;
}

/** The whole flow over a real store, but for the upstream, which plays. */
async function stage(...plays: Play[]): Promise<Stage> {
  const folder = temporaryFolder();
  const store = await openStore(folder, { events: { failed() {}, recovered() {}, dropped() {} } });
  onTestFinished(() => store.close());
  const other = new DatabaseSync(join(folder, databaseFile), { readOnly: true });
  onTestFinished(() => other.close());
  const clock = new ManualClock();
  const metrics = new Metrics(() => store.requestLog.pending);
  const providers = plays.map((play, i) => new ScriptedProvider(`p${i}`, play));
  const instances = providers.map((provider) => provider.instance({ price: { input: 1, output: 2 } }));
  const world = { clock, random: seededRandom(1) };
  const assistant = { name: 'assistant', model: 'fast', system: null, params: {} };
  let logged = '';
  const lines = new Writable({
    write(chunk, _encoding, done) {
      logged += String(chunk);
      done();
    },
  });
  const flow = {
    agents: new Agents(new Map([['assistant', assistant]]), 'assistant'),
    models: new Models(
      new Map([['fast', servedOf(instances, { world })]]),
      new Map(providers.map((provider) => [provider.name, provider])),
      world,
    ),
    limiter: new Limiter(
      { limits: [], budgets: [], assumedOutputTokens: 4096, machines: 1, queue: null },
      {
        rules: store.limitRules,
        ledger: store.ledger,
        clock,
        events: limiterEvents(metrics, clock, () => {}),
        shared: null,
      },
    ),
    metrics,
    cache: cacheOf(metrics, clock),
    payloads: null,
    overload: null,
    log: pino(lines),
    ...world,
  };
  return {
    clock,
    metrics,
    get attempts() {
      return providers.flatMap((provider) => provider.attempts);
    },
    call: (target, stream = true) => {
      const request = chatRequest(target, stream);
      return testCall({
        id: newRequestId(clock.now()),
        receivedAt: clock.now(),
        startedAt: clock.monotonic(),
        request,
      });
    },
    run: (call, requestLog = store.requestLog) => run(call, { ...flow, requestLog }),
    rows: () => other.prepare('SELECT * FROM requests ORDER BY id').all(),
    logged: () => logged,
  };
}

const streamed: Play = (attempt) =>
  attempt.head().events(says('Hi'), finishes('stop')).hidden(uses(1_000_000, 500_000)).end();

describe('what is known of a request when it ends', () => {
  test('is in the log by the time its end is known', async () => {
    const {
      call,
      run: go,
      rows,
      clock,
    } = await stage((attempt) => {
      clock.advance(30);
      streamed(attempt);
    });
    const arrived = call({ agent: null });
    clock.advance(2);
    const outcome = await go(arrived);
    expect(rows()).toEqual([
      {
        id: arrived.id,
        time: arrived.receivedAt,
        tenant: 'acme',
        principal: 'someone',
        agent: 'assistant',
        model: 'fast',
        instance: 'p0',
        provider: 'p0',
        stream: 1,
        status: 200,
        error_code: null,
        error_message: null,
        attempts: 1,
        cache: 'bypass',
        input_tokens: 1_000_000,
        output_tokens: 500_000,
        cost_usd: 2,
        usage_source: 'upstream',
        gateway_ms: 2,
        queued_ms: null,
        upstream_ms: 30,
        first_token_ms: 32,
        finish_reason: 'stop',
        resumed: 0,
        session: null,
        tags: null,
      },
    ]);
    expect(outcome).toMatchObject({ error: null, hasBegun: true, finishReason: 'stop', latencyMs: 32, answer: null });
    expect(outcome.usage).toMatchObject({ costUsd: 2 });
  });

  test('waits for the log, and for nothing after it', async () => {
    const { call, run: go } = await stage(streamed);
    const committed = Promise.withResolvers<void>();
    const ids: string[] = [];
    const slow: RequestLog = {
      pending: 0,
      append(record) {
        ids.push(record.id);
        return committed.promise;
      },
    };
    const arrived = call({ agent: null });
    let isOver = false;
    const outcome = go(arrived, slow).finally(() => (isOver = true));
    while (ids.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    committed.resolve();
    expect((await outcome).error).toBe(null);
    expect(ids).toStrictEqual([arrived.id]);
  });

  const table: [what: string, target: ChatRequest['target'], plays: Play[], row: object][] = [
    [
      'a failed attempt and a good one',
      { agent: null },
      [failsWith('network'), streamed],
      { instance: 'p1', attempts: 2 },
    ],
    [
      'an error of the upstream',
      { agent: null },
      [failsWith('rate_limited')],
      { status: 429, error_code: 'upstream_rate_limited', instance: 'p0', cost_usd: null, finish_reason: null },
    ],
    [
      'a stream that broke after its 200',
      { agent: null },
      [(attempt) => attempt.head().events(says('A')).fail({ kind: 'truncated' })],
      { status: 502, error_code: 'upstream_truncated', output_tokens: 1, usage_source: 'received' },
    ],
    [
      'an unknown agent',
      { agent: 'nobody' },
      [streamed],
      {
        status: 404,
        error_code: 'unknown_agent',
        agent: null,
        model: null,
        instance: null,
        attempts: 0,
        upstream_ms: 0,
      },
    ],
    [
      'an unknown model',
      { model: 'nothing' },
      [streamed],
      { status: 404, error_code: 'unknown_model', agent: null, model: null, attempts: 0 },
    ],
    [
      'a model without instances',
      { agent: null },
      [],
      { status: 503, error_code: 'no_healthy_instance', agent: 'assistant', model: 'fast', instance: null },
    ],
    [
      'a model called directly',
      { model: 'p0/some-model' },
      [streamed],
      { agent: null, model: 'p0/some-model', instance: 'p0' },
    ],
  ];

  test.each(table)('tells of %s', async (_what, target, plays, row) => {
    const { call, run: go, rows, metrics } = await stage(...plays);
    await go(call(target));
    expect(rows()).toMatchObject([row]);
    expect(metrics.inFlight).toBe(0);
  });

  /** What is handed to the log. */
  async function appended(...plays: Play[]): Promise<RequestRecord> {
    const { call, run: go } = await stage(...plays);
    const records: RequestRecord[] = [];
    await go(call({ agent: null }), { pending: 0, append: async (record) => void records.push(record) });
    expect(records).toHaveLength(1);
    return records[0]!;
  }

  test('has every attempt where there was more than one', async () => {
    const { trail } = await appended(failsWith('network'), streamed);
    const common = { model: 'fast', startedMs: 0, durationMs: 0 };
    expect(trail).toStrictEqual([
      {
        ...common,
        instance: 'p0',
        provider: 'p0',
        purpose: 'first',
        outcome: 'network',
        detail: 'It failed: network.',
      },
      { ...common, instance: 'p1', provider: 'p1', purpose: 'retry', outcome: 'ok', detail: null },
    ]);
  });

  test('has no list of attempts where one was enough', async () => {
    expect(await appended(streamed)).toMatchObject({ attempts: 1, trail: null });
  });

  test('has the usage of all attempts together', async () => {
    const cut: Play = (attempt) => attempt.head().events(role).hidden(uses(1_000_000, 0)).fail({ kind: 'truncated' });
    expect(await appended(cut, streamed)).toMatchObject({ inputTokens: 2_000_000, outputTokens: 500_000, costUsd: 3 });
  });

  test('tells of a body that is no chat', async () => {
    const { call, run: go, rows } = await stage(streamed);
    const refused = {
      ...call({ agent: null }),
      read: () => {
        throw new MizanError('invalid_json', 'No.');
      },
    };
    const { error, head, hasBegun } = await go(refused);
    expect(error).toMatchObject({ code: 'invalid_json' });
    expect(head).toMatchObject({ agent: null, model: null, instance: null, attempts: 0, upstreamMs: 0 });
    expect(hasBegun).toBe(false);
    expect(rows()).toMatchObject([{ status: 400, error_code: 'invalid_json', tenant: 'acme', principal: 'someone' }]);
  });

  test('tells of a caller who left, with what was received', async () => {
    const {
      call,
      run: go,
      rows,
    } = await stage((attempt) => {
      attempt.head().events(says('A'), says('B'));
      leaving.leave();
    });
    const leaving = call({ agent: null });
    const { error } = await go(leaving);
    expect(error).toMatchObject({ code: 'client_closed' });
    expect(rows()).toMatchObject([
      { status: 499, error_code: 'client_closed', output_tokens: 2, usage_source: 'received', finish_reason: null },
    ]);
  });
});

test('a defect of ours is an answer like any other, and its cause is in the log alone', async () => {
  const { call, run: go, rows, logged, metrics } = await stage(streamed);
  const arrived = call({ agent: null });
  const crashing = {
    ...arrived,
    read: () => {
      throw new TypeError('a private detail');
    },
  };
  const { error } = await go(crashing);
  expect(error).toMatchObject({ code: 'internal', status: 500 });
  expect(JSON.stringify(error?.toPublic('r'))).not.toContain('private');
  expect(logged()).toContain('"event":"request_crashed"');
  expect(logged()).toContain('a private detail');
  expect(logged()).toContain(arrived.id);
  expect(rows()).toMatchObject([{ status: 500, error_code: 'internal' }]);
  expect(metrics.inFlight).toBe(0);
});

test('what goes well, and what callers do wrong, is not logged at all', async () => {
  const { call, run: go, logged } = await stage(answers);
  await go(call({ agent: null }));
  await go(call({ agent: 'nobody' }));
  expect(logged()).toBe('');
});

describe('metrics', () => {
  test('count what was answered, by names of the config', async () => {
    const { call, run: go, metrics } = await stage(streamed);
    await go(call({ agent: null }));
    const text = await metrics.registry.metrics();
    expect(text).toContain('mizan_requests_total{agent="assistant",model="fast",instance="p0",status="200"} 1');
    expect(text).toContain('mizan_tokens_total{agent="assistant",model="fast",direction="input"} 1000000');
    expect(text).toContain('mizan_cost_usd_total{agent="assistant",model="fast"} 2');
    expect(text).toContain('mizan_attempts_total{instance="p0",model="fast",outcome="ok"} 1');
    expect(text).toContain('mizan_requests_in_flight 0');
  });

  test('have no label that callers make up', async () => {
    const { call, run: go, metrics } = await stage(streamed);
    for (const target of [
      { agent: 'made-up' },
      { model: 'made-up' },
      { model: 'agent/made-up' },
      { model: 'p0/made-up' },
      { model: 'made-up/made-up' },
    ]) {
      await go(call(target));
    }
    const text = await metrics.registry.metrics();
    expect(text).not.toContain('made-up');
    expect(text).toContain('mizan_requests_total{agent="",model="p0/*",instance="p0",status="200"} 1');
    expect(text).toContain('mizan_requests_total{agent="",model="",instance="",status="404"} 4');
  });

  test('have no label from who asks', async () => {
    const { call, run: go, metrics } = await stage(streamed);
    await go({ ...call({ agent: null }), principal: { ...principal, subject: 'made-up', tenant: 'made-up' } });
    expect(await metrics.registry.metrics()).not.toContain('made-up');
  });
});
