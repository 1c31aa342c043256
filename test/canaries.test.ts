import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTokens } from '../src/security/create-tokens.ts';
import type { Launched } from './support/command.ts';
import { launch, mizan as command } from './support/command.ts';
import type { Answer } from './support/http.ts';
import { ask, post } from './support/http.ts';
import type { House } from './support/mizan.ts';
import { commonOptions, everInUse, furnish, readConfig } from './support/mizan.ts';
import type { Behaviour, Upstream } from './support/model-service.ts';
import { beginStream, completion, doneEvent, event, respond, startUpstream } from './support/model-service.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** What nobody but its owner may ever see. */
const secrets = {
  environmentKey: 'sk-env-canary-5d41402abc4b2a76b9719d911017c592',
  configKey: 'sk-conf-canary-7d793037a0760186574b0282f2f435e7',
  masterKey: 'f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2',
  storedSecret: 'stored-canary-8527a891e224136950ff32ca212b45bc93f69fbb',
  headerKey: 'hdr-canary-9f86d081884c7d659a2feaa0c55ad015',
  jwtSecret: 'jwt-canary-b94d27b9934d3e08a52e52d7da7dabfac484efe3',
  forgedToken: 'forged-canary-2c26b46b68ffc68ff99b453c1d304134',
  password: 'basic-canary-fcde2b2edba56bf408601fb721fe9b5c',
  inUrl: 'url-canary-486ea46224d1bb4fb680f34f7c9ad96a8f24ec88',
};

/** What was said: the caller's own answer may repeat it, and nothing else. */
const said = {
  prompt: 'prompt-canary-4e07408562bedb8b60ce05c1decfe3ad',
  system: 'system-canary-4b227777d4dd1fc61c6f884f48641d02',
  answer: 'answer-canary-ef2d127de37b942baad06145e54b0c61',
};

/** The caller's own notes, which the request log keeps as tags and session: that is what they are for. */
const noted = {
  metadata: 'metadata-note-e7f6c011776e8db7cd330b54174fd76f',
  session: 'session-note-7902699be42c8a8e46fbbb4501726517',
};

/** Everything there is to leak; the tokens and keys that are made on the way are added. */
const canaries = new Map<string, string>([...Object.entries(secrets), ...Object.entries(said)]);

const saidNames = new Set(Object.keys(said));

/** In which words a canary may appear. */
function spellings(canary: string): Buffer[] {
  const bytes = Buffer.from(canary);
  const base64 = [0, 1, 2].map((shift) =>
    bytes.subarray(shift, bytes.length - ((bytes.length - shift) % 3)).toString('base64'),
  );
  const raw = /^[0-9a-f]{64}$/.test(canary) ? [Buffer.from(canary, 'hex')] : [];
  return [canary, encodeURIComponent(canary), bytes.toString('hex'), ...base64]
    .map((text) => Buffer.from(text))
    .concat(raw);
}

/** The names of those that are in `what`. */
function foundIn(what: string | Buffer, isAllowed: (name: string) => boolean = () => false): string[] {
  const bytes = Buffer.from(what);
  return [...canaries]
    .filter(([name, canary]) => !isAllowed(name) && spellings(canary).some((spelling) => bytes.includes(spelling)))
    .map(([name]) => name);
}

/** Repeats all that it was sent, as services do in their errors. */
const echo = ({ headers, body }: Parameters<Behaviour>[0]): string =>
  `You sent ${JSON.stringify(body['messages'])} with ${String(headers['authorization'])} and ${String(headers['x-extra-key'])}`;

const statuses = [401, 403, 422, 429, 500];
const behaviours: Readonly<Record<string, Behaviour>> = {
  fine: (request, response) =>
    respond(response, 200, completion(`${said.answer} ${JSON.stringify(request.body['messages'])}`)),
  stream: (_request, response) => {
    beginStream(response);
    response.end(event({ content: said.answer }) + event({}, 'stop') + doneEvent);
  },
  cut: (_request, response) => {
    beginStream(response);
    response.write(event({ content: said.answer }), () => response.destroy());
  },
  'error-event': (request, response) => {
    beginStream(response);
    response.end(
      event({ content: said.answer }) + `data: ${JSON.stringify({ error: { message: echo(request), code: 500 } })}\n\n`,
    );
  },
  'in-band': (request, response) => respond(response, 200, { error: { message: echo(request), param: echo(request) } }),
  garbage: (request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`{"x": ${echo(request)}`);
  },
  'bad-event': (request, response) => {
    beginStream(response);
    response.end(`data: {${echo(request)}\n\n`);
  },
  encoded: (request, response) => {
    response.writeHead(200, { 'content-encoding': String(request.headers['authorization']) }).end('x');
  },
  redirect: (request, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:1/?${String(request.headers['authorization'])}` }).end();
  },
  ...Object.fromEntries(
    statuses.map((status) => [
      `status-${status}`,
      (request: Parameters<Behaviour>[0], response: Parameters<Behaviour>[1]) =>
        respond(response, status, {
          error: { message: echo(request), param: said.prompt, code: echo(request), type: echo(request) },
        }),
    ]),
  ),
};
const models = Object.keys(behaviours);

let upstream: Upstream;
let house: House;
let process_: Launched;
let url: string;
let metricsUrl: string;
/** Everything that was answered, by what was asked. */
const answers: [what: string, answer: Answer, isOwn: boolean][] = [];

const environment = {
  CANARY_KEY: secrets.environmentKey,
  MIZAN_JWT_SECRET: secrets.jwtSecret,
  MIZAN_MASTER_KEY: secrets.masterKey,
  LOG_LEVEL: 'trace',
  NODE_ENV: 'production',
};

const beside = (...args: readonly string[]) => command([...args, ...commonOptions(house)], { env: environment });
const reading = (input: string, ...args: readonly string[]) =>
  command([...args, ...commonOptions(house)], { env: environment, input });

async function keep(what: string, asked: Promise<Answer>, isOwn = false): Promise<Answer> {
  const answer = await asked;
  answers.push([what, answer, isOwn]);
  return answer;
}

beforeAll(async () => {
  upstream = await startUpstream(behaviours);
  const provider = { kind: 'openai-compatible', baseUrl: upstream.url, headers: { 'X-Extra-Key': secrets.headerKey } };
  const instances = (model: string) => [
    { id: `${model}-a`, provider: 'environment', model },
    { id: `${model}-b`, provider: 'config', model },
  ];
  house = await furnish({
    providers: {
      environment: { ...provider, apiKey: '${CANARY_KEY}' },
      config: { ...provider, apiKey: secrets.configKey },
      stored: { ...provider, apiKey: '${secret:stored}' },
    },
    models: Object.fromEntries(
      models.map((id) => [
        id,
        { instances: instances(id), health: everInUse, retries: { attempts: 2 }, strategy: 'sticky' },
      ]),
    ),
    agents: Object.fromEntries(models.map((id) => [id, { model: id, system: said.system }])),
    payloads: { mode: 'all' },
  });
  await reading(secrets.storedSecret, 'secrets', 'set', 'stored');
  process_ = launch(['start', ...commonOptions(house), '--port', '0', '--metrics-port', '0'], { env: environment });
  [, url = '', metricsUrl = ''] = await process_.said(/listens on (\S+), with metrics on (\S+)\/metrics/);
  await useEverything();
});

afterAll(async () => {
  process_.signal('SIGKILL');
  await process_.ended;
  await upstream.close();
  await house.remove();
});

/** All routes, all faults, all identities, good and bad. */
async function useEverything(): Promise<void> {
  const tokens = createTokens(readConfig(house, environment), house.dataFolder);
  const grant = { tenant: 'default', agents: null, ttl: 3600 };
  const member = await tokens.sign({ ...grant, subject: 'm', role: 'member' }, Date.now());
  const admin = await tokens.sign({ ...grant, subject: 'a', role: 'admin', scope: 'any' }, Date.now());
  const bound = await tokens.sign({ ...grant, subject: 'b', role: 'member', agents: [] }, Date.now());
  const created = await beside('keys', 'create', '--role', 'member');
  const apiKey = created.stdout.trim();
  // Who a token is about may be seen; its signature, and the secret part of a key, may not.
  for (const [name, token] of Object.entries({ member, admin, bound })) canaries.set(name, token.split('.')[2]!);
  canaries.set('apiKey', apiKey.slice(20));

  const prompt = [{ role: 'user', content: said.prompt }];
  for (const [i, model] of models.entries()) {
    for (const stream of [false, true]) {
      const token = i % 2 === 0 ? member : apiKey;
      const chat = { model, messages: prompt, stream, user: noted.metadata };
      await keep(`chat ${model}`, post(`${url}/v1/chat/completions`, token, chat).catch(cutOff), true);
      const process = {
        agent: model,
        input: said.prompt,
        stream,
        session: noted.session,
        metadata: { m: noted.metadata },
      };
      await keep(`process ${model}`, post(`${url}/ai-process`, token, process).catch(cutOff), true);
    }
    await keep(`explain ${model}`, post(`${url}/api/route/explain`, member, { model, messages: prompt }));
  }
  const chat = { model: 'fine', messages: prompt };
  const refused: [string, string | undefined, string, object][] = [
    ['bound', bound, '/v1/chat/completions', chat],
    ['nobody', undefined, '/v1/chat/completions', chat],
    ['forged', secrets.forgedToken, '/v1/chat/completions', chat],
    ['forged key', `mz_0123456789abcdef_${secrets.forgedToken}`, '/ai-process', chat],
    ['changed', `${member.slice(0, -4)}AAAA`, '/ai-process', chat],
    ['unknown', member, `/${secrets.inUrl}?token=${secrets.inUrl}`, chat],
    ['wrong model', member, '/v1/chat/completions', { ...chat, model: 'none' }],
  ];
  for (const [what, token, path, body] of refused)
    await keep(what, post(`${url}${path}`, token, body), what === 'unknown');
  const basic = { headers: { authorization: `Basic ${Buffer.from(`u:${secrets.password}`).toString('base64')}` } };
  await keep('basic', ask(`${url}/v1/models?key=${secrets.inUrl}`, basic));
  const broken = {
    method: 'POST',
    token: member,
    headers: { 'content-type': 'application/json' },
    body: `{"x": "${said.prompt}`,
  };
  await keep('broken JSON', ask(`${url}/ai-process`, broken));
  const message = { data: said.prompt };
  await keep('encrypted', post(`${url}/api/security/encrypt`, member, message));
  expect((await reading(said.prompt, 'encrypt')).code).toBe(0);
  await notHttp();
  await lockedOut(post(`${url}/ai-process`, member, { agent: 'fine', input: said.prompt }));

  for (const path of ['/api/instances', '/api/audit?limit=1000', '/v1/models', '/healthz', '/readyz', '/nowhere']) {
    await keep(path, ask(`${url}${path}`, { token: admin }));
  }
  const { json } = await keep('requests', ask(`${url}/api/requests?limit=1000`, { token: admin }));
  const { requests } = json as { requests: { id: string; attempts: number }[] };
  expect(requests.length).toBeGreaterThan(models.length * 4);
  for (const { id, attempts } of requests.filter((row) => row.attempts > 1)) {
    const what = `request with ${attempts}`;
    const { status } = await keep(what, ask(`${url}/api/requests/${id}`, { token: member }));
    expect(status).toBe(200);
    // What was said is shown to those who may see it, and nothing else with it.
    await keep(`${what} and its payload`, ask(`${url}/api/requests/${id}`, { token: admin }), true);
  }
  expect((await beside('backup', 'create')).code).toBe(0);
  await keep('/api/backups', ask(`${url}/api/backups`, { token: admin }));
  await keep('metrics', ask(`${metricsUrl}/metrics`));
}

/** A stream that broke is no answer that could be read; what came of it was the caller's own. */
function cutOff(): Answer {
  return { status: 0, headers: new Headers(), text: '', json: undefined };
}

/** Bytes that no HTTP parser takes. */
function notHttp(): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket
      .on('close', () => resolve())
      .on('error', () => resolve())
      .resume();
    socket.end(`${secrets.inUrl} / HTTP/9\r\nauthorization: Bearer ${secrets.forgedToken}\r\n\r\n${said.prompt}`);
  });
}

/** The database can't be written while this is asked. */
async function lockedOut(asked: Promise<Answer>): Promise<void> {
  const database = new DatabaseSync(join(house.dataFolder, 'mizan.db'));
  database.exec('BEGIN IMMEDIATE');
  await process_.said(/request_log_failed/);
  database.exec('ROLLBACK');
  database.close();
  await keep('locked out', asked, true);
}

/** Everything in the data folder but the two files that are secrets themselves. */
function filesWithCanaries(): string[] {
  const sealed = new Set(['jwt.secret', 'audit.key']);
  const files = readdirSync(house.dataFolder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !sealed.has(entry.name))
    .map(({ parentPath, name }) => relative(house.dataFolder, join(parentPath, name)));
  expect(files).toEqual(expect.arrayContaining(['mizan.db', 'audit.head', expect.stringMatching(/^backups\/./)]));
  return files.flatMap((file) => foundIn(readFileSync(join(house.dataFolder, file))).map((name) => `${file}: ${name}`));
}

describe('nothing that is secret leaves', () => {
  test('the upstream got the keys and the prompts, so there was something to leak', () => {
    const received = upstream.requestsTo('fine').map(({ headers, body }) => JSON.stringify({ headers, body }));
    const wanted = ['environmentKey', 'configKey', 'headerKey', 'prompt', 'system'];
    expect(wanted.filter((name) => !foundIn(received.join()).includes(name))).toEqual([]);
    const own = answers.filter(([, , isOwn]) => isOwn).map(([, { text }]) => text);
    expect(foundIn(own.join())).toEqual(expect.arrayContaining(['prompt', 'answer']));
  });

  test('in any answer; what was said is in the caller’s own alone', () => {
    const leaks = answers.flatMap(([what, { text, headers, status }, isOwn]) => {
      const whole = `${text}\n${JSON.stringify([...headers])}`;
      const isAllowed = (name: string): boolean => isOwn && (saidNames.has(name) || name === 'inUrl');
      return foundIn(whole, isAllowed).map((name) => `${what} (${status}): ${name}`);
    });
    expect(leaks).toEqual([]);
  });

  test('in any file of the data folder, neither while it runs nor after it was killed; nor in what it logged', async () => {
    expect(filesWithCanaries()).toEqual([]);
    process_.signal('SIGKILL');
    const { stdout, stderr } = await process_.ended;
    expect(stderr).toContain('request_log_failed');
    expect(foundIn(stdout + stderr)).toEqual([]);
    expect(filesWithCanaries()).toEqual([]);
  });

  test('in anything that commands print', async () => {
    const lists = [
      ['requests', '--limit', '1000', '--json'],
      ['keys', 'list', '--json'],
      ['secrets', 'list', '--json'],
      ['backup', 'list', '--json'],
      ['audit', 'export'],
      ['doctor', '--json'],
      ['config', 'check'],
    ];
    for (const args of lists) {
      const { stdout, stderr } = await beside(...args);
      expect(stdout + stderr).not.toBe('');
      expect({ args, found: foundIn(stdout + stderr) }).toEqual({ args, found: [] });
    }
    expect(filesWithCanaries()).toEqual([]);
  });

  test('in what is said of a configuration that is wrong', async () => {
    const { environmentKey: key, jwtSecret, password, headerKey } = secrets;
    const wrong = {
      auth: { jwt: { secret: [jwtSecret] } },
      database: { url: `postgres://u:${password}@h/d` },
      redis: { url: `http://u:${password}@h` },
      providers: {
        a: { kind: 'openai', apiKey: { it: key } },
        b: { kind: 'openai', apiKey: `${key} ${key}` },
        c: { kind: 'openai-compatible', baseUrl: `http://u:${password}@h/v1`, headers: { x: `${headerKey}\n` } },
        d: { kind: 'openai-compatible', baseUrl: `http://h/v1?key=${key}` },
        e: { kind: 'openai', apiKey: '${CANARY_KEY}${NO_SUCH_VARIABLE}', headers: { 'x y': headerKey } },
      },
    };
    writeFileSync(house.configFile, JSON.stringify(wrong, null, 2));
    for (const args of [['config', 'check'], ['start']]) {
      const { code, stdout, stderr } = await beside(...args);
      expect(code).toBe(2);
      expect(stderr.split('\n').length).toBeGreaterThan(7);
      expect(foundIn(stdout + stderr)).toEqual([]);
    }
  });
});
