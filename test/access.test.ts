import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Role } from '../src/core/principal.ts';
import { includesRole, roles } from '../src/core/principal.ts';
import type { Route } from '../src/edge/http/routes.ts';
import { routes } from '../src/edge/http/routes.ts';
import { startMizan } from '../src/main.ts';
import { holdDataAlone } from '../src/store/folder-lock.ts';
import type { Answer } from './support/http.ts';
import { ask, errorOf, post, sendRaw } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { furnish, readConfig, runMizan } from './support/mizan.ts';

const root = join(import.meta.dirname, '..');

interface Registered {
  readonly method: string;
  readonly url: string;
}

/** Every route as Fastify itself was told of it. */
const registered: Registered[] = [];
let mizan: Running;

/** By role, each of the tenant `ours`; and with ` any`, for every tenant. */
const tokens = new Map<string, string>();

beforeAll(async () => {
  const listen = (message: unknown): void => {
    (message as { readonly fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) registered.push({ method: one, url });
    });
  };
  subscribe('fastify.initialization', listen);
  mizan = await runMizan({
    providers: { sim: { kind: 'simulator' } },
    models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    agents: { assistant: { model: 'words' } },
  });
  unsubscribe('fastify.initialization', listen);
  for (const role of roles) {
    tokens.set(role, await mizan.token({ tenant: 'ours', role }));
    tokens.set(`${role} any`, await mizan.token({ tenant: 'ours', role, scope: 'any' }));
  }
});

afterAll(() => mizan.end());

/** The row of the table that answers for a route; `HEAD` is its `GET`'s. */
function rowOf({ method, url }: Registered): Route | undefined {
  const wanted = method === 'HEAD' ? 'GET' : method;
  return routes.find((route) => route.method === wanted && route.url === url);
}

function send({ method, url }: Registered, token: string | undefined, query = ''): Promise<Answer> {
  const path = url.replaceAll(/:\w+|\*/g, 'nothing');
  const body = method === 'POST' ? { body: '{}', headers: { 'content-type': 'application/json' } } : {};
  return ask(`${mizan.url}${path}${query}`, { method, ...body, ...(token === undefined ? {} : { token }) });
}

/** What the table says of a request: the status that refuses it, or `in`. */
function verdict(row: Route, role: Role | null, about: 'own' | 'foreign', scope: 'own' | 'any'): number | 'in' {
  if (row.role === null) return 'in';
  if (role === null) return 401;
  if (!includesRole(role, row.role)) return 403;
  if (row.tenant === 'every') return scope === 'any' ? 'in' : 403;
  if (about === 'own' || row.tenant === 'none') return 'in';
  return row.tenant === 'any' && scope === 'any' ? 'in' : 403;
}

const seen = ({ status }: Answer): number | 'in' => (status === 401 || status === 403 ? status : 'in');

describe('every registered route', () => {
  test('has a row in the table, and every row is registered', () => {
    expect(registered.length).toBeGreaterThan(routes.length);
    expect(registered.filter((route) => rowOf(route) === undefined)).toEqual([]);
    const known = new Set(registered.map(({ method, url }) => `${method} ${url}`));
    expect(routes.filter(({ method, url }) => !known.has(`${method} ${url}`))).toEqual([]);
  });

  test('lets in whom the table lets in, and nobody else: × role × tenant', async () => {
    const wrong: string[] = [];
    let asked = 0;
    for (const route of registered) {
      const row = rowOf(route)!;
      for (const about of ['own', 'foreign'] as const) {
        const query = about === 'own' ? '' : '?tenant=theirs';
        for (const scope of ['own', 'any'] as const) {
          for (const role of [null, ...roles]) {
            const token = role === null ? undefined : tokens.get(scope === 'any' ? `${role} any` : role);
            const found = seen(await send(route, token, query));
            const expected = verdict(row, role, about, scope);
            asked++;
            if (found !== expected) {
              wrong.push(`${route.method} ${route.url}${query} as ${role} (${scope}): ${found}, not ${expected}`);
            }
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(asked).toBe(registered.length * 20);
  });

  test('that touches everything at once is for those whose scope is any', () => {
    const every = routes.filter(({ tenant }) => tenant === 'every').map(({ method, url }) => `${method} ${url}`);
    expect(every).toEqual(expect.arrayContaining(['GET /api/backups', 'POST /api/backups']));
  });

  test('answers other methods with those that it has, also where a part of it is anything', async () => {
    const asked: [method: string, path: string, allow: string][] = [
      ['DELETE', '/api/keys', 'GET, HEAD, POST'],
      ['GET', '/api/keys/nothing', 'DELETE'],
      ['PUT', '/api/keys/nothing/rotate', 'POST'],
      ['PATCH', '/api/keys/nothing?tenant=ours', 'DELETE'],
      ['OPTIONS', '/api/keys/nothing', 'DELETE'],
      ['POST', '/api/requests/nothing', 'GET, HEAD'],
      ['DELETE', '/v1/models/a/b', 'GET, HEAD'],
    ];
    for (const [method, path, allow] of asked) {
      const { status, headers, json } = await ask(`${mizan.url}${path}`, { method });
      expect([path, status, headers.get('allow'), errorOf(json).code]).toEqual([
        path,
        405,
        allow,
        'method_not_allowed',
      ]);
    }
    for (const path of ['/api/keys/a/b/c', '/v1/model/a']) {
      expect((await ask(`${mizan.url}${path}`, { method: 'PUT' })).status).toBe(404);
    }
  });

  test('asks for no role only where it shows nothing of anybody', () => {
    const open = routes.filter(({ role }) => role === null).map(({ url, tenant }) => `${url} ${tenant}`);
    expect(open).toEqual(['/.well-known/jwks.json none', '/healthz none', '/readyz none']);
  });
});

test('a route without a row keeps Mizan from starting', async () => {
  const plant = (message: unknown): void => {
    const { fastify: server } = message as { readonly fastify: FastifyInstance };
    server.addHook('onRoute', ({ url }) => {
      if (url === '/ai-process') server.get('/planted', async () => 'anybody');
    });
  };
  subscribe('fastify.initialization', plant);
  const house = await furnish({ providers: { sim: { kind: 'simulator' } } });
  const started = startMizan(readConfig(house), house.dataFolder);
  await expect(started).rejects.toThrow('GET /planted has no row in the table of routes');
  unsubscribe('fastify.initialization', plant);
  // And leaves nothing open.
  expect(() => holdDataAlone(house.dataFolder).release()).not.toThrow();
});

test('no route could run a command, evaluate code or fetch a URL', () => {
  const sources = globSync('src/{edge,flow}/**/*.ts', { cwd: root }).filter(
    (path) => !/\.(?:test|suite)\.ts$/.test(path),
  );
  expect(sources.length).toBeGreaterThan(30);
  const means = /child_process|worker_threads|node:vm|node:https?'|undici|\beval\(|new Function|\bfetch\(|import\(/;
  const found = sources.filter((path) =>
    means.test(readFileSync(join(root, path), 'utf8').replaceAll(/^import type .*$/gm, '')),
  );
  expect(found).toEqual([]);
});

describe('what is said around a request', () => {
  const spellings = [
    '//api/keys',
    '/./api/keys',
    '/x/../api/keys',
    '/api//keys',
    '/api/%6Beys',
    '/api/%6beys',
    '/api%2Fkeys',
    '/api/%252e%252e/keys',
    '/healthz/%2e%2e/api/keys',
    '/healthz/../api/keys',
    '/healthz;/api/keys',
    '/api/keys;/healthz',
    '/api/keys/',
    '/api/keys%00',
    '/api/keys#/healthz',
    '/api/keys?/healthz',
    '/API/KEYS',
    '\\api\\keys',
    'http://evil.example/api/keys',
    'http://evil.example/healthz/../api/keys',
    'https://localhost//api/keys',
  ];
  const headers = [
    'Host: evil.example',
    'Host: localhost/healthz',
    'X-Original-URL: /healthz',
    'X-Rewrite-URL: /healthz',
    'X-Forwarded-Prefix: /healthz',
    'X-Forwarded-Host: localhost',
    'X-Forwarded-For: 127.0.0.1',
    'X-Real-IP: 127.0.0.1',
    'X-HTTP-Method-Override: GET',
    'X-Forwarded-User: admin',
    'X-Tenant: theirs',
  ];

  async function status(path: string, more: readonly string[], token?: string): Promise<string> {
    const identity = token === undefined ? [] : [`Authorization: Bearer ${token}`];
    const host = more.some((line) => line.startsWith('Host:')) ? [] : ['Host: localhost'];
    const lines = [`GET ${path} HTTP/1.1`, ...host, ...identity, ...more, 'Connection: close', '', ''];
    return (await sendRaw(mizan.url, lines.join('\r\n'))).slice(9, 12);
  }

  test.each(spellings)('opens nothing: the path %s', async (path) => {
    expect(['400', '401', '404', '405']).toContain(await status(path, []));
    expect(['400', '403', '404', '405']).toContain(await status(path, [], tokens.get('operator')));
  });

  test.each(headers)('opens nothing: the header %s', async (header) => {
    expect(await status('/api/keys', [header])).toBe('401');
    expect(await status('/api/keys', [header], tokens.get('operator'))).toBe('403');
    expect(await status('/api/keys?tenant=theirs', [header], tokens.get('admin'))).toBe('403');
    expect(await status('/api/keys', [header], tokens.get('admin'))).toBe('200');
  });

  test('opens nothing: a method that has no route', async () => {
    for (const method of ['PUT', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      const lines = [`${method} /api/keys HTTP/1.1`, 'Host: x', 'Content-Length: 0', 'Connection: close', '', ''];
      const [head = '', body = ''] = (await sendRaw(mizan.url, lines.join('\r\n'))).split('\r\n\r\n');
      expect(head).toMatch(/^HTTP\/1\.1 (?:404|405) /);
      expect(body).not.toContain('"keys"');
    }
  });

  test('never names a tenant twice, or one that is none', async () => {
    const any = tokens.get('admin any');
    for (const query of ['tenant=ours&tenant=theirs', 'tenant=theirs&tenant=theirs']) {
      const { status: code, json } = await ask(`${mizan.url}/api/keys?${query}`, { token: any! });
      expect([code, errorOf(json)]).toMatchObject([400, { code: 'invalid_request', param: 'tenant' }]);
    }
    for (const query of ['tenant=', 'tenant=ours']) {
      expect((await ask(`${mizan.url}/api/keys?${query}`, { token: tokens.get('admin')! })).status).toBe(200);
    }
  });
});

describe('a tenant', () => {
  test('sees its own requests, and those who may see every tenant see any', async () => {
    const [ours, theirs] = [await mizan.token({ tenant: 'mine' }), await mizan.token({ tenant: 'yours' })];
    const any = await mizan.token({ tenant: 'mine', role: 'viewer', scope: 'any' });
    await post(`${mizan.url}/ai-process`, ours, { input: 'x' });
    const { json } = await post(`${mizan.url}/ai-process`, theirs, { input: 'x' });
    const { id } = json as { readonly id: string };
    const tenantsBy = async (token: string, query: string) => {
      const answer = await ask(`${mizan.url}/api/requests${query}`, { token });
      return (answer.json as { readonly requests: readonly { tenant: string }[] }).requests.map(({ tenant }) => tenant);
    };
    expect(await tenantsBy(ours, '')).toEqual(['mine']);
    expect(await tenantsBy(any, '')).toEqual(['mine']);
    expect(await tenantsBy(any, '?tenant=yours')).toEqual(['yours']);
    expect(await tenantsBy(any, '?tenant=*&limit=2')).toEqual(['yours', 'mine']);
    expect((await ask(`${mizan.url}/api/requests/${id}`, { token: ours })).status).toBe(404);
    expect((await ask(`${mizan.url}/api/requests/${id}`, { token: any })).status).toBe(404);
    expect((await ask(`${mizan.url}/api/requests/${id}?tenant=yours`, { token: any })).status).toBe(200);
  });
});
