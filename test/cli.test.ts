import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Ended } from './support/command.ts';
import { launch, mizan as command } from './support/command.ts';
import { ask, post, rows } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const config = {
  providers: { sim: { kind: 'simulator' } },
  models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
  agents: { assistant: { model: 'words' }, translator: { model: 'words' } },
};

let mizan: RunningProcess;
let token: string;

beforeAll(async () => {
  mizan = await startProcess(config);
  token = await mizan.token();
});

afterAll(() => mizan.end());

/** Runs a command beside the Mizan that runs, on its data. */
const beside = (...args: readonly string[]): Promise<Ended> => command([...args, ...commonOptions(mizan)]);

const run = (by: string, agent = 'assistant') => post(`${mizan.url}/ai-process`, by, { agent, input: 'x' });

describe('mizan token create', () => {
  test('prints a JWT, and nothing else', async () => {
    const { code, stdout, stderr } = await beside('token', 'create');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const { iat, exp, ...claims } = decodeJwt(stdout.trim());
    expect(claims).toEqual({
      sub: 'cli',
      iss: 'mizan',
      aud: 'mizan',
      tenant: 'default',
      role: 'member',
      jti: expect.any(String),
    });
    expect(exp! - iat!).toBe(3600);
    expect((await run(stdout.trim())).status).toBe(200);
  });

  test('makes it for whom it is told', async () => {
    const options = [
      '--sub',
      'سارة',
      '--tenant',
      'acme',
      '--role',
      'viewer',
      '--agents',
      'assistant,translator',
      '--ttl',
      '15m',
    ];
    const { iat, exp, ...claims } = decodeJwt((await beside('token', 'create', ...options)).stdout.trim());
    expect(claims).toMatchObject({ sub: 'سارة', tenant: 'acme', role: 'viewer', agents: ['assistant', 'translator'] });
    expect(exp! - iat!).toBe(900);
  });

  test('needs nothing that was there before, not even when several begin at once', async () => {
    const house = await furnish(config);
    const created = await Promise.all(
      Array.from({ length: 4 }, () => command(['token', 'create', ...commonOptions(house)])),
    );
    expect(created.map(({ code, stderr }) => ({ code, stderr }))).toEqual(created.map(() => ({ code: 0, stderr: '' })));
    const left = await readdir(house.dataFolder);
    expect(left.filter((name) => !/^(?:mizan|audit)\./.test(name))).toEqual(['jwt.secret']);
    expect((await stat(join(house.dataFolder, 'jwt.secret'))).mode & 0o777).toBe(0o600);
    const started = await startProcess(config, house);
    for (const { stdout } of created) {
      expect((await ask(`${started.url}/v1/models`, { token: stdout.trim() })).status).toBe(200);
    }
    await started.end();
  });
});

describe('mizan keys', () => {
  test('are created, listed without what makes them keys, and revoked once', async () => {
    const created = await beside('keys', 'create', '--name', 'mobile app', '--tenant', 'acme', '--ttl', '30d');
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(created.stdout).toMatch(/^mz_[0-9a-f]{16}_[0-9a-f]{48}\n$/);
    const key = created.stdout.trim();
    const [, id = '', secret = ''] = key.split('_');
    const listed = async () => {
      const { stdout } = await beside('keys', 'list', '--json');
      expect(stdout).not.toContain(secret);
      return (JSON.parse(stdout) as readonly { readonly id: string }[]).find((each) => each.id === id);
    };
    expect(await listed()).toEqual({
      id,
      name: 'mobile app',
      priority: 'normal',
      tenant: 'acme',
      any_tenant: false,
      role: 'member',
      agents: null,
      models: null,
      limits: { rpm: null, tpm: null, max_in_flight: null, budget: null },
      state: 'active',
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      expires_at: expect.stringMatching(/^\d{4}-.*Z$/),
      revoked_at: null,
      rotated_at: null,
      previous_until: null,
      last_used_at: null,
    });
    expect((await beside('keys', 'list')).stdout).toMatch(
      new RegExp(`^ID +NAME +TENANT .*\\n(.*\\n)*${id}  mobile app  acme `),
    );
    expect((await run(key)).status).toBe(200);

    expect(await beside('keys', 'revoke', id)).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining(id),
    });
    expect(await listed()).toMatchObject({ state: 'revoked', revoked_at: expect.any(String) });
    expect((await run(key)).status).toBe(401);
    expect(await beside('keys', 'revoke', id)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining(id),
    });

    for (const file of await readdir(mizan.dataFolder)) {
      expect((await readFile(join(mizan.dataFolder, file))).includes(secret)).toBe(false);
    }
  });
});

describe('mizan keys rotate', () => {
  test('prints another secret for the key, and the old one works for as long as it says', async () => {
    const options = ['--models', 'words', '--rpm', '60', '--budget', '10/day/Asia/Riyadh', '--any-tenant'];
    const old = (await beside('keys', 'create', ...options)).stdout.trim();
    const { code, stdout, stderr } = await beside('keys', 'rotate', old, '--overlap', '2h', '--json');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^The old secret of the key [0-9a-f]{16} is good until \d{4}-/);
    const { key, ...shown } = JSON.parse(stdout) as { readonly key: string; readonly id: string };
    expect(shown).toMatchObject({
      id: old.slice(3, 19),
      any_tenant: true,
      models: ['words'],
      limits: { rpm: 60, tpm: null, max_in_flight: null, budget: { usd: 10, per: 'day', timezone: 'Asia/Riyadh' } },
      previous_until: expect.any(String),
    });
    for (const by of [old, key]) expect((await run(by)).status).toBe(200);
    expect(await beside('keys', 'rotate', 'nobody')).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('mizan token revoke', () => {
  test('ends the token on stdin, or all of a subject, in a Mizan that runs, within a second', async () => {
    const [one, two] = [await mizan.token({ subject: 'leaver' }), await mizan.token({ subject: 'leaver' })];
    for (const by of [one, two]) expect((await run(by)).status).toBe(200);
    const given = await command(['token', 'revoke', ...commonOptions(mizan)], { input: `${one}\n` });
    expect(given).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringMatching(/^The token \S+ is revoked\.\n$/),
    });
    const endedWithin = async (by: string): Promise<number> => {
      const begun = performance.now();
      while ((await run(by)).status === 200);
      return performance.now() - begun;
    };
    expect(await endedWithin(one)).toBeLessThan(1000);
    expect((await run(two)).status).toBe(200);
    expect(await beside('token', 'revoke', '--sub', 'leaver')).toMatchObject({ code: 0, stdout: '' });
    expect(await endedWithin(two)).toBeLessThan(1000);
    expect((await run(two)).json).toMatchObject({ error: { code: 'revoked_token' } });
    const { stdout } = await beside('token', 'revocations', '--json');
    expect(JSON.parse(stdout)).toEqual([
      { sub: 'leaver', tenant: null, any_tenant: true, revoked_at: expect.any(String), expires_at: null },
      {
        jti: decodeJwt(one).jti,
        tenant: null,
        any_tenant: true,
        revoked_at: expect.any(String),
        expires_at: expect.any(String),
      },
    ]);
  });
});

describe('mizan requests', () => {
  test('--json is what the API shows, of every tenant', async () => {
    const [a, b] = [await mizan.token({ tenant: 'json-a' }), await mizan.token({ tenant: 'json-b' })];
    for (const by of [a, b, a]) await run(by);
    const { code, stdout, stderr } = await beside('requests', '--json', '--limit', '3');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [first, second] = await rows(mizan.url, a);
    expect(JSON.parse(stdout)).toEqual([first, (await rows(mizan.url, b))[0], second]);
  });

  test('is a table of the newest, newest first', async () => {
    const { id } = (await run(token)).json as { readonly id: string };
    const { code, stdout } = await beside('requests', '--limit', '2');
    expect(code).toBe(0);
    const [head, first, second, ...others] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^TIME +ID +AGENT +MODEL +INSTANCE +STATUS +TOKENS +COST USD +MS +FINISH$/);
    expect(first).toMatch(new RegExp(`Z +${id} +assistant +words +a +200 +\\d+\\+\\d+ +0\\.000000 +[\\d.]+ +stop$`));
    expect([typeof second, others]).toEqual(['string', []]);
  });

  test('shows one agent’s, or one tenant’s', async () => {
    const by = await mizan.token({ tenant: 'of-one' });
    await run(by, 'translator');
    await run(by, 'assistant');
    const agents = async (...options: readonly string[]) => {
      const { stdout } = await beside('requests', '--json', ...options);
      return new Set(
        (JSON.parse(stdout) as readonly { agent: string; tenant: string }[]).map((row) => `${row.tenant} ${row.agent}`),
      );
    };
    expect(await agents('--tenant', 'of-one')).toEqual(new Set(['of-one translator', 'of-one assistant']));
    expect(await agents('--agent', 'translator')).toEqual(new Set(['of-one translator']));
  });
});

describe('mizan config', () => {
  test('check says what there is where all is well', async () => {
    const { code, stdout, stderr } = await beside('config', 'check');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    for (const name of [mizan.configFile, 'sim', 'words', 'assistant', 'translator']) expect(stderr).toContain(name);
  });

  test('schema prints a JSON Schema with every section and what each thing means', async () => {
    const { code, stdout, stderr } = await command(['config', 'schema']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const schema = JSON.parse(stdout) as {
      readonly $schema: string;
      readonly properties: Record<string, { description?: string }>;
    };
    expect(schema.$schema).toContain('json-schema.org');
    const sections = ['server', 'database', 'redis', 'providers', 'models', 'agents', 'cache', 'schedule'];
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(sections));
    for (const section of sections) expect(schema.properties[section]!.description).toMatch(/./);
  });
});

describe('mizan simulate', () => {
  test('serves the simulator to anybody who speaks OpenAI, and stops when it is told', async () => {
    const simulator = launch(['simulate', '--port', '0']);
    const [, url = ''] = await simulator.said(/listens on (\S+)/);
    const answer = await post(`${url}/chat/completions`, undefined, {
      model: 'any',
      messages: [{ role: 'user', content: 'Say hello' }],
    });
    expect(answer.json).toMatchObject({ object: 'chat.completion', model: 'any' });
    const house = await startProcess({
      providers: { rehearsal: { kind: 'openai-compatible', baseUrl: url } },
      models: { words: { instances: [{ id: 'a', provider: 'rehearsal', model: 'simulator' }] } },
    });
    const { json } = await post(`${house.url}/ai-process`, await house.token(), { input: 'Say hello' });
    expect(json).toMatchObject({
      provider: 'rehearsal',
      output: expect.stringContaining('Say hello'),
      finish_reason: 'stop',
    });
    await house.end();

    const taken = await command(['simulate', '--port', new URL(url).port]);
    expect(taken).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^Can't listen on .*: the port is taken\.?\n$/),
    });
    simulator.signal('SIGTERM');
    expect(await simulator.ended).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('mizan start', () => {
  test('says on stderr where it listens, what answers, and how to try it, in a line that works as it is', async () => {
    const { stderr } = { stderr: (await mizan.process.said(/^curl .*$/m)).input };
    expect(stderr).toContain(mizan.url);
    expect(stderr).toContain(`${mizan.metricsUrl}/metrics`);
    expect(stderr).toContain('the built-in simulator');
    const [, url = '', bearer = '', body = ''] =
      /^curl -X POST (\S+) -H "Authorization: Bearer (\S+)" -H "Content-Type: application\/json" -d '(.*)'$/m.exec(
        stderr,
      ) ?? [];
    const { status, json } = await post(url, bearer, JSON.parse(body));
    expect([status, json]).toEqual([200, expect.objectContaining({ agent: 'assistant' })]);
  });

  test('listens for others with nothing but its own secret, where the image says so', async () => {
    const house = await furnish({});
    const dockerfile = await readFile(join(import.meta.dirname, '../Dockerfile'), 'utf8');
    const [, name = '', value = ''] = /^ENV .*\b(MIZAN_GENERATED_SECRET)=(\w+)$/m.exec(dockerfile) ?? [];
    const options = ['--host', '0.0.0.0', '--port', '0', '--metrics-port', '0', '--data', house.dataFolder];
    const started = launch(['start', ...options], { cwd: house.folder, env: { [name]: value } });
    await started.said(/listens on http:\/\/0\.0\.0\.0:/);
    started.signal('SIGTERM');
    expect(await started.ended).toMatchObject({ code: 0 });
    await house.remove();
  });

  test('starts from nothing at all: no file, no key, no data', async () => {
    const house = await furnish({});
    const started = launch(['start', '--port', '0', '--metrics-port', '0'], {
      cwd: house.folder,
      env: { MIZAN_DATA: 'mine' },
    });
    const [, url = ''] = await started.said(/listens on (\S+),/);
    const created = await command(['token', 'create', '--data', 'mine'], { cwd: house.folder });
    expect((await post(`${url}/ai-process`, created.stdout.trim(), { input: 'مرحبا' })).json).toMatchObject({
      agent: 'assistant',
      provider: 'simulator',
      output: expect.stringMatching(/\p{Script=Arabic}/u),
    });
    expect((await stat(join(house.folder, 'mine'))).mode & 0o077).toBe(0);
    started.signal('SIGTERM');
    expect(await started.ended).toMatchObject({ code: 0, stdout: '' });
    await house.remove();
  });
});
