import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { AISecurity } from '../src/security/index.ts';
import type { Ended, LaunchOptions } from './support/command.ts';
import { mizan as command } from './support/command.ts';
import { ask, post } from './support/http.ts';
import type { House, RunningProcess } from './support/mizan.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';
import { startUpstream } from './support/upstream.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const config = { providers: { sim: { kind: 'simulator' } } };
let mizan: RunningProcess;

beforeAll(async () => {
  mizan = await startProcess(config);
});

afterAll(() => mizan.end());

const beside = (args: readonly string[], options: LaunchOptions = {}, house: House = mizan): Promise<Ended> =>
  command([...args, ...commonOptions(house)], options);

describe('mizan encrypt and decrypt', () => {
  test.each([
    ['a text', 'سلام\n'],
    ['nothing', ''],
    ['more than a pipe holds', 'x'.repeat(300_000)],
  ])('give back %s as it was', async (_what, input) => {
    const encrypted = await beside(['encrypt', '--context', 'c'], { input });
    expect(encrypted).toMatchObject({ code: 0, stderr: '' });
    expect(encrypted.stdout).toMatch(/^[\w-]+\.\.[\w-]+\.[\w-]*\.[\w-]+\n$/);
    const { code, stdout } = await beside(['decrypt', '--context', 'c'], { input: encrypted.stdout });
    expect({ code, stdout }).toEqual({ code: 0, stdout: input });
  });

  test('are what the routes and AISecurity with the exported key make', async () => {
    const token = await mizan.token({ tenant: 'acme' });
    const made = await post(`${mizan.url}/api/security/encrypt`, token, { data: { n: 1 } });
    const text = (made.json as { readonly token: string }).token;
    expect((await beside(['decrypt', '--tenant', 'acme'], { input: text })).stdout).toBe('{"n":1}\n');
    const exported = await beside(['secrets', 'export-message-key', '--tenant', 'acme']);
    const security = new AISecurity({ keys: [JSON.parse(exported.stdout) as { kty: string }] });
    expect(await security.decryptData(text)).toStrictEqual({ n: 1 });
    const keyFile = join(mizan.folder, 'key.jwk');
    await writeFile(keyFile, exported.stdout);
    expect((await beside(['decrypt', '--key', keyFile], { input: text })).stdout).toBe('{"n":1}\n');
  });

  test('end with 1 for what can not be decrypted, and with 2 for what can not be used', async () => {
    const other = (await beside(['encrypt', '--tenant', 'other'], { input: 'x' })).stdout;
    for (const [args, input, code, words] of [
      [['decrypt'], other, 1, /can not be decrypted/],
      [['decrypt'], 'no token', 1, /can not be decrypted/],
      [['decrypt', '--key', join(mizan.folder, 'nowhere')], other, 2, /key .*nowhere can't be read/],
      [['encrypt', '--key', mizan.configFile], 'x', 2, /This key can't be used/],
    ] as const) {
      const ended = await beside(args, { input });
      expect(ended).toMatchObject({ code, stdout: '' });
      expect(ended.stderr).toMatch(words);
      expect(ended.stderr.trim().split('\n')).toHaveLength(1);
    }
  });
});

test('a stored secret reaches the upstream, and nothing else; without it, the line that names it is refused', async () => {
  const secret = 'sk-stored-0123456789';
  const upstream = await startUpstream((_request, response) => {
    const message = { role: 'assistant', content: 'Hi' };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'stop' }] }));
  });
  const house = await furnish({
    providers: { up: { kind: 'openai-compatible', baseUrl: `${upstream.origin}/v1`, apiKey: '${secret:upstream}' } },
    models: { m: { instances: [{ id: 'a', provider: 'up', model: 'x' }] } },
  });
  const missing = await beside(['config', 'check'], {}, house);
  expect(missing.code).toBe(2);
  expect(missing.stderr).toMatch(/^\S+mizan\.yaml:6:17 providers\.up\.apiKey: there is no stored secret "upstream"/);
  expect(await beside(['secrets', 'set', 'upstream'], { input: `${secret}\n` }, house)).toMatchObject({ code: 0 });
  const started = await startProcess({}, house);
  expect((await post(`${started.url}/ai-process`, await started.token(), { input: 'x' })).status).toBe(200);
  expect(upstream.requests.map(({ headers }) => headers.authorization)).toStrictEqual([`Bearer ${secret}`]);
  const listed = await beside(['secrets', 'list', '--json'], {}, house);
  expect(JSON.parse(listed.stdout)).toMatchObject({ secrets: [{ name: 'upstream' }] });
  expect(listed.stdout + listed.stderr).not.toContain(secret);
  const files = await readdir(house.dataFolder);
  const contents = await Promise.all(files.map((name) => readFile(join(house.dataFolder, name))));
  expect(files.filter((_name, i) => contents[i]?.includes(secret) === true)).toStrictEqual([]);
  expect((await beside(['secrets', 'remove', 'upstream'], {}, house)).code).toBe(0);
  expect((await beside(['secrets', 'remove', 'upstream'], {}, house)).code).toBe(1);
  await started.end();
});

test('a start with another master key is one line, exit code 2, and changes nothing', async () => {
  const env = { MIZAN_MASTER_KEY: Buffer.alloc(32, 1).toString('base64') };
  const ended = await beside(['start'], { env });
  expect(ended).toMatchObject({ code: 2, stdout: '' });
  expect(ended.stderr).toMatch(/^The master key is not the right one: the data is sealed under \w{16}, and .*\n$/);
});

test('a tenant is forgotten beside a running Mizan, once it is said that this is meant', async () => {
  const tenant = ['--tenant', 'gone'];
  const key = (await beside(['keys', 'create', ...tenant])).stdout.trim();
  const sealed = (await beside(['encrypt', ...tenant], { input: 'x' })).stdout.trim();
  const token = await mizan.token({ tenant: 'gone' });
  const decrypt = () => post(`${mizan.url}/api/security/decrypt`, token, { token: sealed });
  const models = () => ask(`${mizan.url}/v1/models`, { token: key });
  expect([(await decrypt()).status, (await models()).status]).toStrictEqual([200, 200]);
  expect(await beside(['tenants', 'forget', 'gone'])).toMatchObject({ code: 2 });
  expect([(await decrypt()).status, (await models()).status]).toStrictEqual([200, 200]);
  const forgotten = await beside(['tenants', 'forget', 'gone', '--yes']);
  expect(forgotten.code).toBe(0);
  expect(forgotten.stderr).toContain('its API keys');
  expect(forgotten.stderr).toContain('messages encrypted with its key');
  expect([(await decrypt()).status, (await models()).status]).toStrictEqual([400, 401]);
  const again = await beside(['tenants', 'forget', 'gone', '--yes']);
  expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('was forgotten before')]);
  expect((await beside(['tenants', 'forget', 'nobody', '--yes'])).code).toBe(1);
  expect((await beside(['tenants', 'forget', 'system', '--yes'])).code).toBe(2);
});

test('a tenant is forgotten while somebody reads the database: at once, on record, and in the end from its files', async () => {
  const forget = () => beside(['tenants', 'forget', 'read', '--yes']);
  await beside(['encrypt', '--tenant', 'read'], { input: 'x' });
  const reader = new DatabaseSync(join(mizan.dataFolder, 'mizan.db'));
  const wrapped = reader.prepare(`SELECT wrapped FROM data_keys WHERE tenant = 'read'`).get()!['wrapped'] as Uint8Array;
  const isThere = async (): Promise<boolean> => {
    const files = ['mizan.db', 'mizan.db-wal'].map((name) => readFile(join(mizan.dataFolder, name)));
    return (await Promise.all(files)).some((bytes) => bytes.includes(wrapped));
  };
  reader.exec('BEGIN; SELECT count(*) FROM data_keys');
  for (let run = 0; run < 2; run++) {
    const ended = await forget();
    expect([ended.code, ended.stderr]).toEqual([1, expect.stringMatching(/write-ahead log.*again/s)]);
    expect(await isThere()).toBe(true);
  }
  reader.exec('ROLLBACK');
  reader.close();
  expect((await forget()).code).toBe(0);
  expect(await isThere()).toBe(false);
  const { stdout } = await beside(['audit', 'list', '--tenant', 'read', '--json']);
  const entries = JSON.parse(stdout) as { readonly action: string; readonly after: unknown }[];
  expect(entries.map(({ action, after }) => [action, after])).toEqual([['tenant.forget', { keys: 1 }]]);
});

test('the master key in a file is replaced beside a running Mizan', async () => {
  const before = await readFile(join(mizan.dataFolder, 'master.key'), 'utf8');
  const token = await mizan.token({ tenant: 'later' });
  const ended = await beside(['secrets', 'rotate', '--master']);
  expect(ended).toMatchObject({ code: 0, stdout: '' });
  expect(ended.stderr).toMatch(/^\d+ keys are wrapped with the new master key\.\n$/);
  expect(await readFile(join(mizan.dataFolder, 'master.key'), 'utf8')).not.toBe(before);
  expect((await post(`${mizan.url}/api/security/encrypt`, token, { data: 'x' })).status).toBe(200);
});
