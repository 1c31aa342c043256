import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { LaunchOptions } from './support/command.ts';
import { mizan as command } from './support/command.ts';
import { ask, errorOf, post } from './support/http.ts';
import type { House, RunningProcess } from './support/mizan.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';
import type { OwnPostgresServer } from './support/postgres.ts';
import { ownPostgres } from './support/postgres.ts';

// Every command and every Mizan is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const secret = 'sk-two-nodes-0123456789';
let server: OwnPostgresServer;
let url: string;
let here: RunningProcess;
let there: RunningProcess;

/** What reached the upstream, by its header. */
const heard: (string | undefined)[] = [];
const upstream = createServer((request, response) => {
  heard.push(request.headers.authorization);
  const message = { role: 'assistant', content: 'Hi' };
  response.setHeader('content-type', 'application/json');
  request.resume();
  response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'stop' }] }));
});
const at = (house: House, args: readonly string[], options: LaunchOptions = {}) =>
  command([...args, ...commonOptions(house)], options);

/** One data folder of several on the same PostgreSQL. */
async function node(masterKey = 7): Promise<House> {
  const { port } = upstream.address() as AddressInfo;
  const baseUrl = `http://127.0.0.1:${port}/v1`;
  const provider = { kind: 'openai-compatible', baseUrl, apiKey: '${secret:upstream}' };
  const house = await furnish({
    database: { url },
    auth: { jwt: { secret: 'j'.repeat(32) } },
    security: { masterKey: { file: `${masterKey}.key` } },
    providers: { up: provider },
    models: { words: { instances: [{ id: 'a', provider: 'up', model: 'm' }] } },
    agents: { assistant: { model: 'words' } },
  });
  const file = join(house.folder, `${masterKey}.key`);
  await writeFile(file, Buffer.alloc(32, masterKey).toString('base64'), { mode: 0o600 });
  const config = readFileSync(house.configFile, 'utf8').replace(`"${masterKey}.key"`, JSON.stringify(file));
  await writeFile(house.configFile, config);
  return house;
}

beforeAll(async () => {
  server = await ownPostgres();
  url = await server.newDatabase();
  await once(upstream.listen(0, '127.0.0.1'), 'listening');
  const [one, two] = [await node(), await node()];
  await at(one, ['secrets', 'set', 'upstream'], { input: secret });
  // The second one has never been in touch with PostgreSQL when it reads its configuration.
  [here, there] = [await startProcess({}, one), await startProcess({}, two)];
});

afterAll(async () => {
  await here?.end();
  await there?.end();
  upstream.close();
  await server?.end();
});

const models = (house: RunningProcess, token: string) => ask(`${house.url}/v1/models`, { token });

/** Polls, since nobody tells when a change has arrived. */
function becomes(asking: () => Promise<{ readonly status: number }>, status: number): Promise<void> {
  return vi.waitFor(async () => expect((await asking()).status).toBe(status), { timeout: 30_000, interval: 20 });
}

test('a secret that was stored at one is what the other sends, and both list it', async () => {
  for (const mizan of [here, there]) {
    heard.length = 0;
    expect((await post(`${mizan.url}/ai-process`, await mizan.token(), { input: 'x' })).status).toBe(200);
    expect(heard).toEqual([`Bearer ${secret}`]);
    const { stdout } = await at(mizan, ['secrets', 'list', '--json']);
    const { secrets } = JSON.parse(stdout) as { readonly secrets: readonly { readonly name: string }[] };
    expect(secrets.map(({ name }) => name)).toEqual(['upstream']);
    expect(readFileSync(join(mizan.dataFolder, 'outbox.db')).includes(secret)).toBe(false);
  }
});

test('what one sealed the other opens, also after a rotation at either', async () => {
  const token = await here.token({ tenant: 'acme' });
  const sealAt = async (mizan: RunningProcess) => {
    const { json } = await post(`${mizan.url}/api/security/encrypt`, token, { data: 'سلام' });
    return (json as { readonly token: string }).token;
  };
  const sealed = await sealAt(here);
  const openAt = (mizan: RunningProcess, made: string) =>
    post(`${mizan.url}/api/security/decrypt`, token, { token: made });
  await becomes(() => openAt(there, sealed), 200);
  expect((await at(there, ['secrets', 'rotate'])).code).toBe(0);
  const later = await sealAt(there);
  for (const mizan of [here, there]) {
    for (const made of [sealed, later]) await becomes(() => openAt(mizan, made), 200);
    expect((await openAt(mizan, later)).json).toEqual({ data: 'سلام' });
    expect((await post(`${mizan.url}/ai-process`, token, { input: 'x' })).status).toBe(200);
  }
  expect(heard.at(-1)).toBe(`Bearer ${secret}`);
});

test('a key that is made at one is good at the other, and over when it is revoked, also by a command', async () => {
  const made = async (): Promise<string> => (await at(here, ['keys', 'create', '--tenant', 'acme'])).stdout.trim();
  const [one, other] = [await made(), await made()];
  for (const key of [one, other]) for (const mizan of [here, there]) await becomes(() => models(mizan, key), 200);
  expect((await at(here, ['keys', 'revoke', one.slice(3, 19)])).code).toBe(0);
  for (const mizan of [here, there]) await becomes(() => models(mizan, one), 401);
  const admin = await there.token({ role: 'admin', tenant: 'acme' });
  const ended = await ask(`${there.url}/api/keys/${other.slice(3, 19)}`, { method: 'DELETE', token: admin });
  expect([ended.status, (await models(there, other)).status]).toEqual([200, 401]);
  await becomes(() => models(here, other), 401);
  const { stdout } = await at(here, ['keys', 'list', '--json', '--tenant', 'acme']);
  expect((JSON.parse(stdout) as { readonly state: string }[]).map(({ state }) => state)).toEqual([
    'revoked',
    'revoked',
  ]);
});

test('while PostgreSQL is away known keys go on, unknown ones are refused, and what is revoked stays so', async () => {
  const admin = await here.token({ role: 'admin', tenant: 'acme' });
  const create = async (): Promise<string> => {
    const { json } = await post(`${here.url}/api/keys`, admin, { name: 'app' });
    return (json as { readonly key: string }).key;
  };
  const known = await create();
  await becomes(() => models(there, known), 200);
  await server.stop();
  const unknown = await create();
  expect((await models(here, unknown)).status).toBe(200);
  const refused = await models(there, unknown);
  expect([refused.status, errorOf(refused.json).code]).toEqual([401, 'invalid_api_key']);
  expect((await models(there, known)).status).toBe(200);
  const id = known.slice(3, 19);
  expect((await ask(`${here.url}/api/keys/${id}`, { method: 'DELETE', token: admin })).status).toBe(200);
  expect((await models(here, known)).status).toBe(401);
  await server.start();
  await becomes(() => models(there, known), 401);
  await becomes(() => models(there, unknown), 200);
});

test('while PostgreSQL is away one starts with the secrets that it knows, and says so; a new one knows none', async () => {
  await server.stop();
  try {
    there.process.signal('SIGKILL');
    await there.process.ended;
    there = await startProcess({}, there);
    expect((await there.process.said(/Note: .*can't be reached/))[0]).toMatch(
      /the stored secrets are those of the last/,
    );
    heard.length = 0;
    expect((await post(`${there.url}/ai-process`, await there.token(), { input: 'x' })).status).toBe(200);
    expect(heard).toEqual([`Bearer ${secret}`]);
    const { code, stderr } = await at(await node(), ['start', '--port', '0', '--metrics-port', '0']);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/can't be reached.*no stored secret "upstream"/s)]);
  } finally {
    await server.start();
  }
});

test('U+0000, which PostgreSQL has no texts with, is found nowhere and is no tenant', async () => {
  const token = await here.token({ role: 'admin', scope: 'any' });
  expect((await ask(`${here.url}/api/requests/%00`, { token })).status).toBe(404);
  for (const path of ['requests', 'overview']) {
    const { status, json } = await ask(`${here.url}/api/${path}?tenant=%00`, { token });
    expect([status, errorOf(json).code]).toEqual([400, 'invalid_request']);
  }
});

test('a tenant that is forgotten at one is forgotten at the other, and its keys are in no file of either', async () => {
  const token = await here.token({ tenant: 'gone' });
  const { json } = await post(`${here.url}/api/security/encrypt`, token, { data: 'x' });
  const body = { token: (json as { readonly token: string }).token };
  const openAt = (mizan: RunningProcess) => post(`${mizan.url}/api/security/decrypt`, token, body);
  await becomes(() => openAt(there), 200);
  const database = new DatabaseSync(join(here.dataFolder, 'outbox.db'));
  const wrapped = database.prepare(`SELECT wrapped FROM data_keys WHERE tenant = 'gone'`).get()!['wrapped'];
  database.close();
  const isIn = ({ dataFolder }: RunningProcess): boolean =>
    readdirSync(dataFolder)
      .filter((name) => /\.db(?:-wal)?$/.test(name))
      .some((name) => readFileSync(join(dataFolder, name)).includes(wrapped as Uint8Array));
  expect([isIn(here), isIn(there)]).toEqual([true, true]);
  expect((await at(here, ['tenants', 'forget', 'gone', '--yes'])).code).toBe(0);
  for (const mizan of [here, there]) await becomes(() => openAt(mizan), 400);
  for (const mizan of [here, there]) await vi.waitFor(() => expect(isIn(mizan)).toBe(false), { timeout: 30_000 });
});

test('one with another master key is refused in one line, and reaches nothing', async () => {
  const house = await node(8);
  for (const args of [
    ['start', '--port', '0', '--metrics-port', '0'],
    ['keys', 'create'],
    ['secrets', 'list'],
  ]) {
    const { code, stdout, stderr } = await at(house, args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(/^The master key is not the right one: /)]);
  }
  expect((await post(`${here.url}/ai-process`, await here.token(), { input: 'x' })).status).toBe(200);
});
