import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { AuditEvent } from '../src/core/audit.ts';
import { systemClock } from '../src/core/clock.ts';
import { MizanError } from '../src/core/errors.ts';
import { Auditing } from '../src/edge/admin/auditing.ts';
import { routes } from '../src/edge/http/routes.ts';
import { mizan as command } from './support/command.ts';
import { ask, errorOf, post, wire } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, startProcess } from './support/mizan.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

interface Entry {
  readonly seq: number;
  readonly action: string;
  readonly outcome: string;
  readonly actor: unknown;
  readonly tenant: string;
  readonly target: string | null;
  readonly after: unknown;
  readonly from: string | null;
  readonly request_id: string | null;
  readonly count: number;
}

let mizan: RunningProcess;
let admin: string;

beforeAll(async () => {
  mizan = await startProcess({
    providers: { sim: { kind: 'simulator' } },
    models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    agents: { assistant: { model: 'words' }, other: { model: 'words' } },
  });
  admin = await mizan.token({ subject: 'root', role: 'admin' });
});

afterAll(() => mizan.end());

const beside = (...args: readonly string[]) => command([...args, ...commonOptions(mizan)]);

async function exported(...args: readonly string[]): Promise<Entry[]> {
  const { code, stdout, stderr } = await beside('audit', 'export', ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : (JSON.parse(line) as Entry)));
}

async function audit(token: string, query = ''): Promise<{ entries: Entry[]; next_before: number | null }> {
  const { status, json } = await ask(`${mizan.url}/api/audit${query}`, { token });
  expect(status).toBe(200);
  return json as { entries: Entry[]; next_before: number | null };
}

test('denials and commands are in one chain, which shows whoever was at it', async () => {
  const member = await mizan.token({ subject: 'ali', agents: ['assistant'] });
  const refused = [
    await ask(`${mizan.url}/api/audit`, { token: member }),
    await post(`${mizan.url}/ai-process`, member, { agent: 'other', input: 'x' }),
    await ask(`${mizan.url}/v1/models`),
  ];
  expect(refused.map(({ status }) => status)).toEqual([403, 403, 401]);
  for (let i = 0; i < 500; i++) {
    const { json } = await ask(`${mizan.url}/v1/models/${i}`, { token: `forged.token.${i}` });
    expect(errorOf(json).code).toBe('invalid_token');
  }
  const created = await Promise.all(
    [1, 2].map((i) => beside('keys', 'create', '--name', `key${i}`, '--tenant', 'acme')),
  );
  const id = created[0]!.stdout.slice(3, 19);
  expect((await beside('keys', 'revoke', id)).code).toBe(0);

  const entries = await exported();
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_entry, i) => i + 1));
  const actor = { subject: 'ali', tenant: 'default', via: 'jwt' };
  const byRequest = (i: number) =>
    entries.find((entry) => entry.request_id === refused[i]!.headers.get('x-request-id'));
  const denied = { action: 'request.denied', outcome: 'denied', from: '127.0.0.1' };
  expect(byRequest(0)).toMatchObject({ ...denied, actor, tenant: 'default', target: 'GET /api/audit' });
  expect(byRequest(1)).toMatchObject({ ...denied, actor, target: 'POST /ai-process', after: { code: 'forbidden' } });
  expect(byRequest(2)).toMatchObject({ ...denied, actor: null, tenant: 'system', after: { code: 'missing_identity' } });
  const forged = entries.filter(({ target }) => target === 'GET /v1/models/*');
  expect(forged).toMatchObject([{ after: { code: 'invalid_token' }, count: 1 }]);
  expect(entries.filter(({ action }) => action === 'key.create')).toMatchObject([
    { actor: 'operator', tenant: 'acme', from: null },
    { actor: 'operator', tenant: 'acme' },
  ]);
  expect(entries.find(({ action }) => action === 'key.revoke')).toMatchObject({
    target: `key:${id}`,
    before: { state: 'active' },
    after: { state: 'revoked' },
  });
  const text = JSON.stringify(entries);
  for (const { stdout } of created) expect(text).not.toContain(stdout.trim().slice(20));

  expect((await exported('--tenant', 'acme')).map(({ tenant }) => tenant)).toEqual(['acme', 'acme', 'acme']);
  const { entries: own, next_before: next } = await audit(admin, '?limit=1');
  expect(own).toMatchObject([{ tenant: 'default', target: 'POST /ai-process' }]);
  expect((await audit(admin, `?limit=1&before=${next}`)).entries).toMatchObject([{ target: 'GET /api/audit' }]);
  const others = await mizan.token({ role: 'admin', tenant: 'acme' });
  expect((await audit(others)).entries.map(({ tenant }) => tenant)).toEqual(['acme', 'acme', 'acme']);
  expect((await ask(`${mizan.url}/api/audit?before=x`, { token: admin })).status).toBe(400);

  const whole = await beside('audit', 'verify');
  expect(whole).toMatchObject({ code: 0, stdout: `The audit log is whole: ${entries.length} entries.\n` });

  const database = new DatabaseSync(join(mizan.dataFolder, 'mizan.db'));
  database.exec(`DROP TRIGGER audit_no_update; UPDATE audit SET count = 2 WHERE seq = 2`);
  database.close();
  const found = await beside('audit', 'verify');
  expect(found.code).toBe(1);
  expect(found.stdout).toMatch(/^The audit log is not whole: entry 2: /);

  mizan.process.signal('SIGTERM');
  await mizan.process.ended;
  const { stdout } = await beside('audit', 'list', '--json', '--limit', '1');
  expect(JSON.parse(stdout)).toMatchObject([{ target: 'GET /v1/models/*', count: 499, request_id: null }]);
});

describe('a route that changes something', () => {
  const recorded: AuditEvent[] = [];
  const auditing = new Auditing({ record: (event) => recorded.push(event) }, systemClock);
  const server = fastify();
  server.decorateRequest('audit', null);
  server.decorateRequest('principal', null as never);
  const principal = {
    subject: 'root',
    tenant: 't',
    via: 'jwt',
    role: 'admin',
    agents: null,
    models: null,
    scope: 'own',
    credential: null,
  } as const;
  const paths = ['/api/things', '/api/things/:id/turn'];
  const late = '/api/late';
  server.route({
    method: 'POST',
    url: late,
    ...auditing.hooksFor({ method: 'POST', url: late }),
    handler: async (request) => {
      request.principal = principal;
      const { socket } = request.raw;
      socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      await new Promise((resolve) => socket.once('close', resolve));
      // The answer has nobody to go to by now, and what was done is done.
      await new Promise(setImmediate);
      request.audit = { action: 'thing.end', target: 'thing:2' };
      return {};
    },
  });
  for (const url of paths) {
    server.route({
      method: 'POST',
      url,
      ...auditing.hooksFor({ method: 'POST', url }),
      handler: async (request) => {
        request.principal = principal;
        if (url !== paths[0]) throw new MizanError('not_found', 'No.');
        request.audit = { action: 'thing.make', target: 'thing:1', before: null, after: { a: 1 } };
        return {};
      },
    });
  }
  server.setErrorHandler((_error, _request, reply) => reply.code(404).send('{}'));
  afterAll(() => server.close());

  test('leaves an entry whatever it does, with what its handler says', async () => {
    await server.listen({ port: 0, host: '127.0.0.1' });
    const url = server.listeningOrigin;
    await post(`${url}/api/things`, undefined, {});
    await post(`${url}/api/things/7/turn?secret=1`, undefined, {});
    const { subject, tenant, via } = principal;
    const actor = { subject, tenant, via };
    expect(recorded).toMatchObject([
      {
        action: 'thing.make',
        outcome: 'done',
        actor,
        tenant: 't',
        target: 'thing:1',
        after: { a: 1 },
        from: '127.0.0.1',
      },
      { action: 'POST /api/things/:id/turn', outcome: 'failed', actor, target: null, before: null },
    ]);
  });

  test('leaves one entry also where the caller resets the connection, with what came of it', async () => {
    const url = server.listeningOrigin;
    const head = (path: string, length: number): string =>
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
    const leave = async (text: string, pattern: RegExp | null): Promise<AuditEvent[]> => {
      recorded.length = 0;
      const { socket, until } = await wire(url);
      socket.write(text);
      if (pattern !== null) await until(pattern);
      socket.resetAndDestroy();
      await vi.waitFor(() => expect(recorded).not.toEqual([]));
      // Whatever else would record it has had its turn.
      await post(`${url}/api/things`, undefined, {});
      return recorded.filter(({ action }) => action !== 'thing.make');
    };
    expect(await leave(`${head(late, 2)}{}`, /100 Continue/)).toMatchObject([
      { action: 'thing.end', outcome: 'done', target: 'thing:2', from: '127.0.0.1' },
    ]);
    expect(await leave(head(late, 50), null)).toMatchObject([{ action: `POST ${late}`, outcome: 'failed' }]);
  });

  test('is every route of /api that is no GET, but for those that are known to be readings', () => {
    const audited = routes.filter((route) => auditing.hooksFor(route).onSend !== undefined);
    const silent = routes.filter(({ method, url }) => method !== 'GET' && url.startsWith('/api/'));
    expect(silent.filter((route) => !audited.includes(route)).map(({ url }) => url)).toEqual([
      '/api/route/explain',
      '/api/security/encrypt',
      '/api/security/decrypt',
    ]);
  });
});
