import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { mizan as command } from './support/command.ts';
import { dialects } from './support/dialects.ts';
import { ask, openStream, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { commonOptions, runMizan, startProcess } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import {
  beginStream,
  completion,
  doneEvent,
  event,
  respond,
  startUpstream,
  usageEvent,
} from './support/model-service.ts';
import type { PostgresServer } from './support/postgres.ts';
import { anyPostgres } from './support/postgres.ts';

vi.setConfig({ testTimeout: 120_000 });

const canary = 'said-canary-4e07408562bedb8b60ce05c1decfe3ad';
const answerCanary = 'answer-canary-ef2d127de37b942baad06145e54b0c61';

interface ShownPayload {
  readonly is_readable: boolean;
  readonly request: unknown;
  readonly request_bytes: number;
  readonly answer: unknown;
  readonly answer_bytes: number;
  readonly error: { readonly code: string } | null;
  readonly is_cut: boolean;
}

let upstream: Upstream;
let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
  upstream = await startUpstream({
    fine: ({ body }, response) => {
      if (body['stream'] !== true) return respond(response, 200, completion(answerCanary));
      beginStream(response);
      const half = answerCanary.length / 2;
      const [first, second] = [answerCanary.slice(0, half), answerCanary.slice(half)];
      response.end(
        event({ role: 'assistant' }) +
          event({ content: first }) +
          event({ content: second }) +
          event({}, 'stop') +
          usageEvent +
          doneEvent,
      );
      return undefined;
    },
    long: (_request, response) => respond(response, 200, completion('x'.repeat(5000))),
    cut: (_request, response) => {
      beginStream(response);
      response.write(event({ content: answerCanary }), () => response.destroy());
    },
    refusing: (_request, response) => respond(response, 422, { error: { message: 'not this' } }),
    endless: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'Half' }));
    },
  });
});

afterAll(async () => {
  await upstream.close();
  await server.end();
});

const models = ['fine', 'long', 'cut', 'refusing', 'endless'];

async function start(config: object, url: string | undefined): Promise<Running> {
  const instance = (model: string) => ({ id: 'a', provider: 'mock', model });
  const mizan = await runMizan({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: Object.fromEntries(models.map((id) => [id, { instances: [instance(id)], retries: { attempts: 1 } }])),
    agents: Object.fromEntries(models.map((id) => [id, { model: id }])),
    ...(url === undefined ? {} : { database: { url } }),
    ...config,
  });
  onTestFinished(() => mizan.end());
  return mizan;
}

/** What is shown of a request, once it is kept. */
async function shown(mizan: Running, id: string, token?: string): Promise<ShownPayload> {
  const by = token ?? (await mizan.token({ role: 'operator' }));
  return vi.waitFor(
    async () => {
      const { status, json } = await ask(`${mizan.url}/api/requests/${id}`, { token: by });
      expect(status).toBe(200);
      const { payload } = json as { payload: ShownPayload | null };
      expect(payload).not.toBe(null);
      return payload!;
    },
    { timeout: 20_000, interval: 50 },
  );
}

async function process(mizan: Running, body: object, token?: string): Promise<string> {
  const answer = await post(`${mizan.url}/ai-process`, token ?? (await mizan.token()), body);
  return answer.headers.get('x-request-id')!;
}

/** All payloads in PostgreSQL, as they lie there. */
async function wholeTable(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ all: string | null }>(
    `SELECT string_agg(t::text, '') || string_agg(encode(sealed, 'escape'), '') AS all FROM payloads t`,
  );
  await client.end();
  if (rows[0]?.all === null) throw new Error('There is no payload.');
  return rows[0]!.all;
}

/** Everything in the data folder that has one of these words in it. */
function filesWith(mizan: Running, ...words: readonly string[]): string[] {
  const files = readdirSync(mizan.dataFolder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  return files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => words.some((word) => readFileSync(file).includes(word)));
}

describe.each(['SQLite', 'PostgreSQL'])('payloads on %s', (engine) => {
  const database = async (): Promise<string | undefined> => (engine === 'SQLite' ? undefined : server.newDatabase());

  test('are what was said to whom, and found nowhere in clear', async () => {
    const url = await database();
    const mizan = await start({ payloads: { mode: 'all' } }, url);
    let last: { id: string; payload: ShownPayload } | undefined;
    for (const { path, body } of dialects) {
      for (const stream of [false, true]) {
        const said = path === '/ai-process' ? { input: canary } : { messages: [{ role: 'user', content: canary }] };
        const sent = { ...body('fine', { stream }), ...said };
        const answer = await post(`${mizan.url}${path}`, await mizan.token(), sent);
        const payload = await shown(mizan, answer.headers.get('x-request-id')!);
        expect(payload).toMatchObject({
          is_readable: true,
          request: sent,
          answer: {
            object: 'chat.completion',
            choices: [{ message: { role: 'assistant', content: answerCanary }, finish_reason: 'stop' }],
          },
          error: null,
          is_cut: false,
        });
        expect(payload.request_bytes).toBe(JSON.stringify(sent).length);
        last = { id: answer.headers.get('x-request-id')!, payload };
      }
    }
    const { stdout } = await command(['requests', 'show', last!.id, ...commonOptions(mizan)]);
    expect(JSON.parse(stdout)).toMatchObject(last!);
    expect((await command(['requests', 'show', 'req_none', ...commonOptions(mizan)])).code).toBe(1);
    expect(filesWith(mizan, canary, answerCanary)).toEqual([]);
    const there = url === undefined ? null : await wholeTable(url);
    expect([canary, answerCanary].filter((word) => there?.includes(word.slice(0, 20)))).toEqual([]);
  });

  test('of what failed say what came of it', async () => {
    const mizan = await start({ payloads: { mode: 'errors' } }, await database());
    const fine = await process(mizan, { agent: 'fine', input: 'Hi' });
    const refused = await shown(mizan, await process(mizan, { agent: 'refusing', input: 'Hi' }));
    expect(refused).toMatchObject({ answer: null, answer_bytes: 0, error: { code: 'upstream_rejected' } });
    const cut = await shown(mizan, await process(mizan, { agent: 'cut', input: 'Hi', stream: true }));
    expect(cut).toMatchObject({
      answer: { choices: [{ message: { content: answerCanary }, finish_reason: null }] },
      error: { code: 'upstream_truncated' },
    });
    const wrong = await shown(mizan, await process(mizan, { agent: 'nobody', input: 'Hi' }));
    expect(wrong).toMatchObject({ request: { agent: 'nobody' }, error: { code: 'unknown_agent' } });
    const broken = await ask(`${mizan.url}/ai-process`, {
      method: 'POST',
      token: await mizan.token(),
      headers: { 'content-type': 'application/json' },
      body: '{"x": سلام',
    });
    expect(await shown(mizan, broken.headers.get('x-request-id')!)).toMatchObject({
      request: '{"x": سلام',
      error: { code: 'invalid_json' },
    });

    const stream = await openStream(`${mizan.url}/ai-process`, await mizan.token(), {
      agent: 'endless',
      input: 'Hi',
      stream: true,
    });
    await stream.until(/Half/);
    const left = stream.response.headers.get('x-request-id')!;
    stream.leave();
    expect(await shown(mizan, left)).toMatchObject({
      answer: { choices: [{ message: { content: 'Half' } }] },
      error: { code: 'client_closed' },
    });
    const { json } = await ask(`${mizan.url}/api/requests/${fine}`, { token: await mizan.token({ role: 'operator' }) });
    expect(json).toMatchObject({ status: 200, payload: null });
  });

  test('are cut where they are too long, and say so', async () => {
    const mizan = await start({ payloads: { mode: 'all', maxBytes: 1000 } }, await database());
    const input = 'م'.repeat(5000);
    const payload = await shown(mizan, await process(mizan, { agent: 'long', input }));
    expect(payload).toMatchObject({ is_cut: true, is_readable: true });
    expect(payload.request_bytes).toBeGreaterThan(10_000);
    expect(payload.request).toMatch(/^\{"agent":"long","input":"م+$/);
    expect(Buffer.byteLength(payload.request as string)).toBeLessThanOrEqual(1000);
    expect(payload.answer_bytes).toBeGreaterThan(5000);
    expect(payload.answer).toMatch(/^\{"id":.*x+$/);
    expect((payload.answer as string).length).toBe(1000);
  });

  test('are for operators of the tenant itself', async () => {
    const mizan = await start({ payloads: { mode: 'all' } }, await database());
    const id = await process(mizan, { agent: 'fine', input: 'Hi' }, await mizan.token({ tenant: 'acme' }));
    const seen = async (grant: object, query = ''): Promise<unknown> => {
      const { status, json } = await ask(`${mizan.url}/api/requests/${id}${query}`, {
        token: await mizan.token(grant),
      });
      return status === 200 ? (json as { payload?: unknown }).payload : status;
    };
    await shown(mizan, id, await mizan.token({ tenant: 'acme', role: 'admin' }));
    expect(await seen({ tenant: 'acme', role: 'operator' })).toMatchObject({ is_readable: true });
    expect(await seen({ tenant: 'acme', role: 'member' })).toBe(undefined);
    expect(await seen({ tenant: 'acme', role: 'viewer' })).toBe(undefined);
    expect(await seen({ tenant: 'other', role: 'admin' })).toBe(404);
    expect(await seen({ tenant: 'other', role: 'admin', scope: 'any' }, '?tenant=acme')).toBe(undefined);
  });

  test('are kept by agent, with a default', async () => {
    const agents = {
      loud: { model: 'fine' },
      silent: { model: 'fine', payloads: { mode: 'off' } },
      rare: { model: 'fine', payloads: { mode: 'sampled', rate: 0 } },
      some: { model: 'fine', payloads: { mode: 'sampled', rate: 0.5 } },
    };
    const mizan = await start({ payloads: { mode: 'all' }, agents }, await database());
    const ids: Record<string, string[]> = {};
    for (const agent of Object.keys(agents)) {
      ids[agent] = await Promise.all(Array.from({ length: 40 }, () => process(mizan, { agent, input: 'Hi' })));
    }
    await shown(mizan, await process(mizan, { agent: 'loud', input: 'the last one' }));
    const token = await mizan.token({ role: 'operator' });
    const kept = async (agent: string): Promise<number> => {
      const all = await Promise.all(ids[agent]!.map((id) => ask(`${mizan.url}/api/requests/${id}`, { token })));
      return all.filter(({ json }) => (json as { payload: unknown }).payload !== null).length;
    };
    expect([await kept('loud'), await kept('silent'), await kept('rare')]).toEqual([40, 0, 0]);
    // All or none of 40 at one half: less often than once in 10¹¹.
    expect(await kept('some')).toBeGreaterThan(0);
    expect(await kept('some')).toBeLessThan(40);
  });

  test('stay readable through a rotation, until the old key or the tenant is forgotten', async () => {
    const mizan = await start({ payloads: { mode: 'all' } }, await database());
    const token = await mizan.token({ tenant: 'acme' });
    const operator = await mizan.token({ tenant: 'acme', role: 'operator' });
    const say = async (): Promise<string> => {
      const id = await process(mizan, { agent: 'fine', input: 'Hi' }, token);
      await shown(mizan, id, operator);
      return id;
    };
    const isReadable = async (id: string): Promise<boolean> => (await shown(mizan, id, operator)).is_readable;
    const old = await say();
    const run = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await command([...args, ...commonOptions(mizan)]);
      expect([code, stderr]).toEqual([0, expect.any(String)]);
      return stdout;
    };
    await run('secrets', 'rotate', '--tenant', 'acme', '--purpose', 'payload');
    const fresh = await say();
    expect([await isReadable(old), await isReadable(fresh)]).toEqual([true, true]);
    const { keys } = JSON.parse(await run('secrets', 'list', '--json')) as {
      keys: { id: string; tenant: string; purpose: string; state: string }[];
    };
    const retired = keys.find((key) => key.tenant === 'acme' && key.purpose === 'payload' && key.state === 'retired');
    await run('secrets', 'drop', retired!.id);
    await vi.waitFor(async () => expect(await isReadable(old)).toBe(false), { timeout: 20_000 });
    expect(await shown(mizan, old, operator)).toMatchObject({ request: null, answer: null, request_bytes: 29 });
    expect(await isReadable(fresh)).toBe(true);
    await run('tenants', 'forget', 'acme', '--yes');
    await vi.waitFor(async () => expect(await isReadable(fresh)).toBe(false), { timeout: 20_000 });
  });
});

test('all of them are kept when Mizan is stopped in good order', async () => {
  const mizan = await startProcess({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: { fine: { instances: [{ id: 'a', provider: 'mock', model: 'fine' }] } },
    agents: { fine: { model: 'fine' } },
    payloads: { mode: 'all' },
  });
  onTestFinished(() => mizan.end());
  const token = await mizan.token();
  const ids = await Promise.all(
    Array.from({ length: 50 }, () => process(mizan, { agent: 'fine', input: 'Hi' }, token)),
  );
  mizan.process.signal('SIGTERM');
  expect(await mizan.process.ended).toMatchObject({ code: 0 });
  const database = new DatabaseSync(join(mizan.dataFolder, 'mizan.db'), { readOnly: true });
  const kept = database.prepare('SELECT request_id AS id FROM payloads').all();
  database.close();
  expect(kept.map(({ id }) => String(id)).toSorted()).toEqual(ids.toSorted());
});
