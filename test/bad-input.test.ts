import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { logged } from './support/command.ts';
import type { Answer } from './support/http.ts';
import { ask, errorOf, post, sendRaw, wire } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';

let mizan: RunningProcess;
let token: string;

beforeAll(async () => {
  mizan = await startProcess({
    server: { headersTimeoutMs: 250 },
    providers: { sim: { kind: 'simulator' }, slow: { kind: 'simulator', tokensPerSecond: 50 } },
    models: {
      quick: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] },
      slow: { instances: [{ id: 'a', provider: 'slow', model: 'simulator' }] },
    },
    agents: { assistant: { model: 'quick' }, translator: { model: 'quick' }, slowly: { model: 'slow' } },
  });
  token = await mizan.token();
});

afterAll(() => mizan.end());

interface Route {
  readonly path: string;
  /** A body that is fine, without its closing brace. */
  readonly open: string;
}

const routes: readonly Route[] = [
  { path: '/ai-process', open: '{"input":"x"' },
  { path: '/v1/chat/completions', open: '{"model":"quick","messages":[{"role":"user","content":"x"}]' },
];

const send = (path: string, body: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}) =>
  ask(`${mizan.url}${path}`, {
    method: 'POST',
    token,
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });

/** What a refusal is, in one line; everything that has to hold of every refusal is checked here. */
function refusal({ status, headers, json }: Answer): string {
  const error = errorOf(json);
  if (error.request_id !== headers.get('x-request-id')) throw new Error('another request id than the header’s');
  if (error.message.length > 400) throw new Error(`a message of ${error.message.length} characters`);
  return `${status} ${error.code}: ${error.message}`;
}

/** One HTTP answer as it came over a bare connection. */
function readRaw(text: string): { readonly status: number; readonly body: unknown; readonly rest: string } {
  const [, status, head, rest] = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n(.*)$/s.exec(text) ?? [];
  const length = Number(/^content-length: (\d+)$/im.exec(head ?? '')?.[1]);
  const bytes = Buffer.from(rest ?? '');
  const body: unknown = JSON.parse(bytes.subarray(0, length).toString());
  return { status: Number(status), body, rest: bytes.subarray(length).toString() };
}

const identity = (): string => `Host: localhost\r\nAuthorization: Bearer ${token}\r\n`;

function rawPost(path: string, body: string): string {
  const length = Buffer.byteLength(body);
  return `POST ${path} HTTP/1.1\r\n${identity()}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

/** The process is unharmed: the next request is answered as ever. */
async function answersAsEver(): Promise<void> {
  for (const { path, open } of routes) {
    const { status, text } = await send(path, `${open}}`);
    if (status !== 200) throw new Error(`POST ${path} is answered with ${status}: ${text}`);
  }
}

describe.for(routes)('POST $path refuses', ({ path, open }) => {
  afterEach(answersAsEver);

  const deep = (levels: number, left: string, right: string) =>
    `${open},"x":${left.repeat(levels)}${right.repeat(levels)}}`;

  test.for([
    ['nothing', '', /ends too early/],
    ['a single brace', '{', /not valid JSON/],
    ['text', 'Hello', /not valid JSON/],
    ['a form', 'input=x&stream=true', /not valid JSON/],
    ['single quotes', "{'input': 'x'}", /not valid JSON/],
    ['a comma too many', `${open},}`, /not valid JSON/],
    ['NaN', `${open},"x":NaN}`, /not valid JSON/],
    ['two objects', `${open}}${open}}`, /not valid JSON/],
    ['a zero byte', `${open}}\0`, /not valid JSON/],
    ['a raw line break in a text', `${open},"x":"a\nb"}`, /not valid JSON/],
    ['a list', '[]', /must be a JSON object, not an array/],
    ['null', 'null', /must be a JSON object, not null/],
    ['a text in quotes', '"input"', /must be a JSON object, not a string/],
    ['10,000 nested lists', deep(10_000, '[', ']'), /nested deeper/],
    ['10,000 nested objects', deep(10_000, '{"x":', '0}').replace('0}', '{}}'), /nested deeper/],
    ['10,000 lists that nobody closes', `${open},"x":${'['.repeat(10_000)}`, /nested deeper/],
    ['a key that stands twice', `${open},"stream":false,"stream":true}`, /"stream".*twice/],
    ['a key that stands twice in disguise', `${open},"stream":false,"str\\u0065am":true}`, /"stream".*twice/],
    ['a key that stands twice further down', `${open},"x":[{"a":1,"b":{},"a":2}]}`, /"a".*twice/],
    ['__proto__', `${open},"__proto__":{"role":"admin"}}`, /"__proto__"/],
    ['__proto__ in disguise', `${open},"x":{"__pr\\u006fto__":{}}}`, /"__proto__"/],
  ] as const)('%s', async ([, body, message]) => {
    const said = refusal(await send(path, body));
    expect(said).toMatch(/^400 invalid_json: /);
    expect(said).toMatch(message);
  });

  test('a body that is cut anywhere', async () => {
    const whole = `${open},"x":[1.5e3,{"é":"مرحبا \\u0645 👍"},true,null]}`;
    const bytes = Buffer.from(whole);
    for (let length = 0; length < bytes.length; length++) {
      const { status, json } = await send(path, bytes.subarray(0, length));
      expect([length, status, errorOf(json).code]).toEqual([length, 400, 'invalid_json']);
    }
  });

  test.for([
    ['a byte that never is in UTF-8', [0xff]],
    ['half a character', [0xd9]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a slash that is too long', [0xc0, 0xaf]],
  ] as const)('%s', async ([, bytes]) => {
    const body = Buffer.concat([Buffer.from(`${open},"x":"`), Buffer.from(bytes), Buffer.from('"}')]);
    expect(refusal(await send(path, body))).toMatch(/^400 invalid_json: .*not valid UTF-8/);
  });

  test.for([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    ';;',
  ])('the content type %s', async (type) => {
    const answer = await send(path, `${open}}`, { 'content-type': type });
    expect(refusal(answer)).toMatch(/^415 unsupported_media_type: .*Content-Type: application\/json/);
  });

  test('a body without a content type', async () => {
    const request = rawPost(path, `${open}}`).replace('Content-Type: application/json', 'Connection: close');
    const { status, body } = readRaw(await sendRaw(mizan.url, request));
    expect(status).toBe(415);
    expect(errorOf(body)).toMatchObject({ code: 'unsupported_media_type', param: 'content-type' });
  });

  test('no body at all', async () => {
    const answer = await ask(`${mizan.url}${path}`, { method: 'POST', token });
    expect(refusal(answer)).toMatch(/^400 invalid_json: .*no body/);
  });

  test('11 MiB, said before', async () => {
    const body = Buffer.alloc(11 * 1024 * 1024, ' ');
    for (let i = 0; i < 3; i++)
      expect(refusal(await send(path, body))).toMatch(/^413 payload_too_large: .*over the limit/);
  });

  test('11 MiB, not said before', async () => {
    const body = new Blob([Buffer.alloc(11 * 1024 * 1024, ' ')]).stream();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${mizan.url}${path}`, { method: 'POST', headers, body, duplex: 'half' });
    expect(answer.status).toBe(413);
    expect(errorOf(await answer.json())).toMatchObject({ code: 'payload_too_large' });
  });

  test('11 MiB from somebody who sends all before reading any', async () => {
    const { socket, until, heard } = await wire(mizan.url);
    const body = ' '.repeat(11 * 1024 * 1024);
    socket.write(rawPost(path, body));
    const { status, body: said } = readRaw(await until(/"request_id".*\}\}$/s));
    expect(status).toBe(413);
    expect(errorOf(said).code).toBe('payload_too_large');
    socket.end();
    await heard;
  });

  test('a length and chunks together, and lengths that are none', async () => {
    const headers = [
      'Content-Length: 2\r\nTransfer-Encoding: chunked',
      'Content-Length: 2\r\nContent-Length: 3',
      'Content-Length: -1',
      'Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip',
    ];
    for (const header of headers) {
      const text = await sendRaw(
        mizan.url,
        `POST ${path} HTTP/1.1\r\n${identity()}Content-Type: application/json\r\n${header}\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
      );
      const { status, body, rest } = readRaw(text);
      expect([header, status, errorOf(body).code, rest]).toEqual([header, 400, 'invalid_request', '']);
    }
  });

  test('more than 16 KiB of headers', async () => {
    const text = await sendRaw(
      mizan.url,
      `POST ${path} HTTP/1.1\r\n${identity()}X-Long: ${'x'.repeat(17_000)}\r\n\r\n`,
    );
    const { status, body } = readRaw(text);
    expect(status).toBe(431);
    expect(errorOf(body)).toMatchObject({ code: 'headers_too_large', type: 'invalid_request' });
  });

  test('headers that do not come to an end in time', async () => {
    const text = await sendRaw(mizan.url, `POST ${path} HTTP/1.1\r\n${identity()}Content-Type: appl`);
    const { status, body } = readRaw(text);
    expect(status).toBe(408);
    expect(errorOf(body)).toMatchObject({ code: 'request_timeout', type: 'timeout' });
  });

  test('nothing of a caller who leaves in the middle of a body', async () => {
    const { socket, heard } = await wire(mizan.url);
    socket.end(rawPost(path, `${open}}`).slice(0, -5));
    expect(await heard).not.toContain('HTTP/1.1 200');
  });

  test('what is pipelined behind a good request and is no HTTP', async () => {
    const text = await sendRaw(mizan.url, `${rawPost(path, `${open}}`)}\x16\x03\x01 HELLO\r\n\r\n`);
    const { status, body, rest } = readRaw(text);
    expect([status, errorOf(body).code, rest]).toEqual([400, 'invalid_request', '']);
  });

  test('garbage after a good answer, which stays what it is', async () => {
    const { socket, until, heard } = await wire(mizan.url);
    socket.write(rawPost(path, `${open}}`));
    const first = readRaw(await until(/"(latency_ms|system_fingerprint|total_tokens)":[^}]+\}+$/));
    expect([first.status, first.rest]).toEqual([200, '']);
    socket.write('GET GET GET\r\n\r\n');
    const second = readRaw(readRaw(await heard).rest);
    expect([second.status, errorOf(second.body).code]).toEqual([400, 'invalid_request']);
  });

  test('garbage in the middle of a stream, which then just ends, with no words of ours in it', async () => {
    const { socket, until, heard } = await wire(mizan.url);
    const slow = open.replace('"quick"', '"slow"').replace('"input"', '"agent":"slowly","input"');
    socket.write(rawPost(path, `${slow},"stream":true}`));
    await until(/data: .*data: /s);
    socket.write('GET GET GET\r\n\r\n');
    const text = await heard;
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(text).not.toMatch(/\r\n0\r\n\r\n$|event: done|\[DONE\]|"error"/);
  });
});

describe('a name that is not there is answered with the nearest:', () => {
  afterEach(answersAsEver);

  const long = 'x'.repeat(1_000_000);

  test.for([
    ['asistant', 'Did you mean "assistant"?'],
    ['ASSISTANT', 'Did you mean "assistant"?'],
    ['traslator', 'Did you mean "translator"?'],
    ['constructor', 'There is no agent "constructor".'],
    ['__proto__', 'There is no agent "__proto__".'],
    ['\r\nx-injected: yes', 'There is no agent'],
    ['مساعد', 'There is no agent "مساعد".'],
    [long, 'There is no agent "xxx'],
  ] as const)('agent %.20s', async ([name, message]) => {
    for (const answer of [
      await post(`${mizan.url}/ai-process`, token, { agent: name, input: 'x' }),
      await post(`${mizan.url}/v1/chat/completions`, token, {
        model: `agent/${name}`,
        messages: [{ role: 'user', content: 'x' }],
      }),
    ]) {
      expect(refusal(answer)).toMatch(/^404 unknown_agent: There is no agent/);
      expect(errorOf(answer.json).message).toContain(message);
      expect(answer.headers.get('x-injected')).toBeNull();
    }
  });

  test.for([
    ['quik', 'Did you mean "quick"?'],
    ['Slow', 'Did you mean "slow"?'],
    ['toString', 'There is no model "toString".'],
    ['sim/', 'There is no model "sim/".'],
    ['/simulator', 'There is no model "/simulator".'],
    ['nobody/simulator', 'There is no model "nobody/simulator".'],
    ['sim/a b', 'There is no model "sim/a b".'],
    ['sim/\r\nx-injected: yes', 'There is no model'],
    [long, 'There is no model "xxx'],
  ] as const)('model %.20s', async ([model, message]) => {
    const answer = await post(`${mizan.url}/v1/chat/completions`, token, {
      model,
      messages: [{ role: 'user', content: 'x' }],
    });
    expect(refusal(answer)).toMatch(/^404 unknown_model: There is no model/);
    expect(errorOf(answer.json).message).toContain(message);
    expect(answer.headers.get('x-injected')).toBeNull();
  });
});

describe('what has nothing in it is refused by its name:', () => {
  afterEach(answersAsEver);

  test.for([
    ['/ai-process', { input: [] }, 'input'],
    ['/ai-process', { input: '' }, 'input'],
    ['/ai-process', {}, 'input'],
    ['/v1/chat/completions', { model: 'quick', messages: [] }, 'messages'],
    ['/v1/chat/completions', { model: 'quick' }, 'messages'],
    ['/v1/chat/completions', {}, 'model'],
  ] as const)('%s %j', async ([path, body, param]) => {
    const answer = await post(`${mizan.url}${path}`, token, body);
    expect(refusal(answer)).toMatch(`400 invalid_request: ${param} must`);
    expect(errorOf(answer.json).param).toBe(param);
  });
});

describe('what only looks bad is answered:', () => {
  afterEach(answersAsEver);

  test.for(routes)('POST $path', async ({ path, open }) => {
    const bodies = [
      `\n\t ${open} , "metadata" : {"constructor": {"prototype": 1}, "": "\\ud83d\\ude00 \\u0000"} } \r\n`,
      `${open},"metadata":{"x":${'['.repeat(100)}${']'.repeat(100)}}}`,
      `${open},"metadata":{"n":[-0,1E-7,12345678901234567890,1e400]}}`,
      `${open},"metadata":{"long":"${'م'.repeat(500_000)}"}}`,
    ];
    for (const body of bodies) expect((await send(path, body)).status).toBe(200);
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json;charset="UTF-8"']) {
      expect([type, (await send(path, `${open}}`, { 'content-type': type })).status]).toEqual([type, 200]);
    }
  });
});

describe('before there is a request,', () => {
  afterEach(answersAsEver);

  test.for([
    ['another protocol', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['no HTTP', 'HELLO\r\n\r\n'],
    ['no path', 'GET HTTP/1.1\r\n\r\n'],
    ['a header without a name', 'GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n'],
    ['a line break in a header', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\nb\r\n\r\n'],
    ['HTTP of the future', 'GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n'],
  ] as const)('%s is refused in the same shape', async ([, bytes]) => {
    const { status, body } = readRaw(await sendRaw(mizan.url, Buffer.from(bytes, 'latin1')));
    expect([status, errorOf(body).code]).toEqual([400, 'invalid_request']);
  });
});

test('after all of this the process has logged no warning or error, and ends as it should', async () => {
  mizan.process.signal('SIGTERM');
  const { code, stderr, stdout } = await mizan.process.ended;
  expect(logged(stderr, 40)).toEqual([]);
  expect(stderr).not.toMatch(/\bat .*:\d+:\d+/);
  expect([code, stdout]).toEqual([0, '']);
});
