import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { RequestRecord } from '../src/core/request-record.ts';
import { everyTenant } from '../src/core/request-record.ts';
import { openStore } from '../src/store/sqlite/index.ts';
import { logged } from './support/command.ts';
import type { Dialect } from './support/dialects.ts';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import { ask, errorOf, openStream, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, completion, doneEvent, event, respond, startUpstream } from './support/model-service.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

/** Every row of the log, read by a process that comes after. */
async function wholeLog(dataFolder: string): Promise<Map<string, RequestRecord>> {
  const store = await openStore(dataFolder);
  const log = new Map<string, RequestRecord>();
  try {
    for (let before: string | undefined; ;) {
      const query = { limit: 1000, ...(before === undefined ? {} : { before }) };
      const page = await store.requestHistory.list(everyTenant, query);
      for (const record of page) log.set(record.id, record);
      before = page.at(-1)?.id;
      if (before === undefined) return log;
    }
  } finally {
    await store.close();
  }
}

/** What a client knows for sure: it has the whole answer. */
interface Received {
  readonly id: string;
  readonly stream: boolean;
}

/** Asks once and reads the answer; `undefined` where it did not come as a whole. */
async function receive(
  mizan: RunningProcess,
  token: string,
  dialect: Dialect,
  stream: boolean,
): Promise<Received | undefined> {
  const answer = await post(`${mizan.url}${dialect.path}`, token, dialect.body('quick', { stream })).catch(() => null);
  if (answer?.status !== 200) return undefined;
  const isWhole = stream ? dialect.readStream(answer.text).isComplete : answer.json !== undefined;
  return isWhole ? { id: answer.headers.get('x-request-id')!, stream } : undefined;
}

describe('kill -9 under load', () => {
  const rounds = 4;
  const clients = 12;
  const answersARound = 150;

  test('loses no request whose answer a client has, and the next start goes on from there', async () => {
    const received: Received[] = [];
    let mizan: RunningProcess | undefined;
    for (let round = 1; round <= rounds; round++) {
      const running = await startProcess(
        {
          providers: { sim: { kind: 'simulator' } },
          models: { quick: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
          agents: { quick: { model: 'quick' } },
        },
        mizan,
      );
      mizan = running;
      const token = await running.token();
      let isKilled = false;
      const client = async (dialect: Dialect, stream: boolean): Promise<void> => {
        for (;;) {
          const whole = await receive(running, token, dialect, stream);
          if (whole === undefined) {
            if (!isKilled) throw new Error('Mizan failed before it was killed');
            return;
          }
          received.push(whole);
          if (received.length < round * answersARound) continue;
          isKilled = true;
          running.process.signal('SIGKILL');
        }
      };
      await Promise.all(Array.from({ length: clients }, (_, i) => client(i % 2 === 0 ? openai : aiProcess, i % 4 < 2)));
      expect(await running.process.ended).toMatchObject({ code: null });
    }

    const log = await wholeLog(mizan!.dataFolder);
    expect(received.filter(({ id }) => !log.has(id))).toEqual([]);
    expect(received.length).toBeGreaterThanOrEqual(rounds * answersARound);
    expect(new Set(received.map(({ stream }) => stream)).size).toBe(2);
    for (const { id, stream } of received) {
      expect(log.get(id)).toMatchObject({ status: 200, errorCode: null, stream, finishReason: 'stop', attempts: 1 });
      expect(log.get(id)!.outputTokens).toBeGreaterThan(0);
    }
    await mizan!.end();
  });
});

describe('SIGTERM', () => {
  let upstream: Upstream;
  /** Lets the held answers go on. */
  let release: () => void;

  beforeAll(async () => {
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    upstream = await startUpstream({
      held: async ({ body }, response) => {
        if (body['stream'] !== true) {
          await released;
          respond(response, 200, completion('Whole'));
          return;
        }
        beginStream(response);
        response.write(event({ content: 'Whole' }));
        await released;
        response.end(event({ content: ' too' }) + event({}, 'stop') + doneEvent);
      },
      stuck: (_request, response) => {
        beginStream(response);
        response.write(event({ content: 'Half' }));
      },
      silent: () => {},
    });
  });

  afterAll(() => upstream.close());

  const house = (server: object = {}) => ({
    server,
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: {
      held: { instances: [{ id: 'a', provider: 'mock', model: 'held' }] },
      stuck: { instances: [{ id: 'a', provider: 'mock', model: 'stuck' }] },
      silent: { instances: [{ id: 'a', provider: 'mock', model: 'silent' }] },
    },
    agents: { held: { model: 'held' }, stuck: { model: 'stuck' }, silent: { model: 'silent' } },
  });

  test('turns new work away at once, lets what runs finish, and ends with 0', async () => {
    const mizan = await startProcess(house());
    const token = await mizan.token();
    expect((await ask(`${mizan.url}/readyz`)).status).toBe(200);
    const streams = await Promise.all(
      dialects.map(async ({ path, body }) => openStream(`${mizan.url}${path}`, token, body('held'))),
    );
    await Promise.all(streams.map((stream) => stream.until(/Whole/)));
    const waiting = dialects.map(({ path, body }) =>
      post(`${mizan.url}${path}`, token, body('held', { stream: false })),
    );
    for (let i = 0; i < streams.length + waiting.length; i++) await upstream.next('held');

    mizan.process.signal('SIGTERM');
    await mizan.process.said(/SIGTERM/);
    expect(await ask(`${mizan.url}/readyz`)).toMatchObject({ status: 503, json: { status: 'not ready' } });
    expect((await ask(`${mizan.url}/healthz`)).status).toBe(200);
    for (const { path, body } of dialects) {
      const { status, headers, json } = await post(`${mizan.url}${path}`, token, body('held'));
      expect(status).toBe(503);
      expect(errorOf(json)).toMatchObject({ code: 'shutting_down', type: 'unavailable' });
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('connection')).toBe('close');
    }
    // Another signal changes nothing.
    mizan.process.signal('SIGTERM');
    expect((await ask(`${mizan.url}/readyz`)).status).toBe(503);
    expect(upstream.requestsTo('held')).toHaveLength(streams.length + waiting.length);

    release();
    for (const [i, { path, readStream }] of dialects.entries()) {
      expect(readStream(await streams[i]!.rest())).toEqual({
        output: 'Whole too',
        finishes: ['stop'],
        isComplete: true,
        error: null,
      });
      const { status, text } = await waiting[i]!;
      expect([path, status, text]).toEqual([path, 200, expect.stringContaining('Whole')]);
    }
    const { code, stderr } = await mizan.process.ended;
    expect(code).toBe(0);
    expect(logged(stderr, 40)).toEqual([]);
    const records = [...(await wholeLog(mizan.dataFolder)).values()];
    expect(records.map(({ status, finishReason }) => ({ status, finishReason }))).toEqual(
      Array.from({ length: 4 }, () => ({ status: 200, finishReason: 'stop' })),
    );
    await mizan.end();
  });

  test('waits no longer than the config says for what never ends, and tells its callers that it was Mizan that left', async () => {
    const mizan = await startProcess(house({ shutdownTimeoutMs: 100 }));
    const token = await mizan.token();
    const streams = await Promise.all(
      dialects.map(async ({ path, body }) => openStream(`${mizan.url}${path}`, token, body('stuck'))),
    );
    await Promise.all(streams.map((stream) => stream.until(/Half/)));
    const waiting = dialects.map(({ path, body }) =>
      post(`${mizan.url}${path}`, token, body('silent', { stream: false })),
    );
    for (let i = 0; i < waiting.length; i++) await upstream.next('silent');
    mizan.process.signal('SIGTERM');
    for (const [i, { readStream }] of dialects.entries()) {
      const { isComplete, finishes, error } = readStream(await streams[i]!.rest());
      expect({ isComplete, finishes, code: error?.code }).toEqual({
        isComplete: false,
        finishes: [],
        code: 'shutting_down',
      });
      const { status, headers, json } = await waiting[i]!;
      expect([status, errorOf(json).code, headers.get('retry-after')]).toEqual([503, 'shutting_down', '1']);
    }
    const { code, stderr } = await mizan.process.ended;
    await Promise.all([...upstream.requestsTo('stuck'), ...upstream.requestsTo('silent')].map(({ closed }) => closed));
    expect({ code, complaints: logged(stderr, 40) }).toEqual({ code: 0, complaints: [] });
    const records = [...(await wholeLog(mizan.dataFolder)).values()];
    expect(records).toHaveLength(4);
    for (const record of records) {
      expect(record).toMatchObject({ status: 503, errorCode: 'shutting_down', finishReason: null });
    }
    expect(records.map(({ outputTokens }) => outputTokens ?? 0).toSorted((a, b) => a - b)).toEqual([0, 0, 1, 1]);
    await mizan.end();
  });

  test('ends an idle process, as SIGINT does', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const mizan = await startProcess(house());
      // A connection that is kept open holds up nothing.
      await ask(`${mizan.url}/healthz`);
      mizan.process.signal(signal);
      expect(await mizan.process.ended).toMatchObject({ code: 0, stdout: '' });
      await mizan.end();
    }
  });
});
