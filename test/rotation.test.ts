import { afterAll, beforeAll, expect, test } from 'vitest';
import { newApiKey } from '../src/security/api-keys.ts';
import { openStore } from '../src/store/sqlite/index.ts';
import { apiKeyRecord } from './support/api-key.ts';
import { launch, mizan } from './support/command.ts';
import { caller, exportedKey, postJose, publishedKeys } from './support/encrypted.ts';
import { ask, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, startProcess } from './support/mizan.ts';

/** So many rows that a rotation can be killed in the middle. */
const apiKeys = 600;

let running: RunningProcess;
let token: string;
const keys: string[] = [];

beforeAll(async () => {
  running = await startProcess({ providers: { sim: { kind: 'simulator' } } });
  token = await running.token();
  const store = await openStore(running.dataFolder);
  for (let i = 0; i < apiKeys; i++) {
    const { id, key, hash } = newApiKey();
    keys.push(key.reveal());
    const whose = { name: `k${i}`, tenant: 'default', role: 'viewer', agents: null } as const;
    store.apiKeys.insert(apiKeyRecord({ id, hash, ...whose, createdAt: i }));
  }
  await store.close();
});

afterAll(() => running.end());

test('five rotations under load, one of them killed in the middle: nothing fails to open', async () => {
  const { url } = running;
  const senders = [
    caller(await exportedKey(running.dataFolder)),
    ...(await publishedKeys(url)).map((key) => caller(key)),
  ];
  const failures: string[] = [];
  const kept: { readonly token: string; readonly n: number }[] = [];
  let requests = 0;
  const over = new AbortController();

  const expectStatus = (what: string, status: number, text: string): boolean => {
    requests++;
    if (status !== 200) failures.push(`${what}: ${status} ${text.slice(0, 300)}`);
    return status === 200;
  };
  const oneOfEach = async (n: number): Promise<void> => {
    const made = await post(`${url}/api/security/encrypt`, token, { data: n, context: 'c' });
    if (expectStatus('encrypt', made.status, made.text)) kept.push({ ...(made.json as { token: string }), n });
    const some = kept[(n * 7919) % kept.length]!;
    const opened = await post(`${url}/api/security/decrypt`, token, { token: some.token, context: 'c' });
    const isRight = (opened.json as { readonly data?: unknown }).data === some.n;
    expectStatus('decrypt', isRight ? opened.status : 0, opened.text);
    const sender = senders[n % senders.length]!;
    const answer = await postJose(url, token, await sender.encrypt({ input: `hello ${n}` }));
    if (expectStatus('ai-process', answer.status, answer.text)) await sender.decrypt(answer.text);
    const models = await ask(`${url}/v1/models`, { token: keys[(n * 7919) % keys.length]! });
    expectStatus('api key', models.status, models.text);
  };
  let n = 0;
  const load = Array.from({ length: 3 }, async () => {
    while (!over.signal.aborted) await oneOfEach(n++).catch((error: unknown) => failures.push(String(error)));
  });

  const startedAt = performance.now();
  const rotate = ['secrets', 'rotate', ...commonOptions(running)];
  for (let i = 0; i < 5; i++) {
    const rotation = launch(rotate);
    await rotation.said(/new keys seal from now on/);
    if (i === 2) rotation.signal('SIGKILL');
    const { code } = await rotation.ended;
    expect(code).toBe(i === 2 ? null : 0);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  over.abort();
  await Promise.all(load);

  process.stderr.write(`${requests} requests in ${seconds.toFixed(1)} s, ${(requests / seconds).toFixed(0)}/s\n`);
  expect(failures).toStrictEqual([]);
  expect(requests).toBeGreaterThan(500);
  for (const { token: sealed, n: expected } of kept) {
    const { json } = await post(`${url}/api/security/decrypt`, token, { token: sealed, context: 'c' });
    expect(json).toStrictEqual({ data: expected });
  }
  const { stdout } = await mizan(['secrets', 'list', '--json', ...commonOptions(running)]);
  const listed = (
    JSON.parse(stdout) as { readonly keys: readonly { readonly purpose: string; readonly state: string }[] }
  ).keys;
  expect(listed.filter(({ purpose, state }) => purpose === 'message' && state === 'retired')).toHaveLength(5);
}, 120_000);
