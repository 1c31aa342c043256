import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { mizan as run } from './support/command.ts';
import { post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { commonOptions, runMizan } from './support/mizan.ts';

vi.setConfig({ testTimeout: 60_000 });

let mizan: Running;

beforeAll(async () => {
  mizan = await runMizan({ models: { fast: { instances: [{ id: 'a', provider: 'simulator', model: 'simulator' }] } } });
});

afterAll(() => mizan.end());

const cache = (...args: string[]) => run(['cache', ...args, ...commonOptions(mizan)]);

test('mizan cache says what a running Mizan keeps, and removes it', async () => {
  for (const tenant of ['acme', 'globex']) {
    const token = await mizan.token({ tenant });
    const body = { model: 'fast', temperature: 0, messages: [{ role: 'user', content: 'Hi' }] };
    const asked = await post(`${mizan.url}/v1/chat/completions`, token, body);
    expect(asked.status).toBe(200);
  }
  const at = ['--url', mizan.url];
  const kept = await cache('stats', ...at, '--json');
  expect([kept.code, kept.stderr]).toEqual([0, '']);
  expect(JSON.parse(kept.stdout)).toMatchObject({ entries: 2 });
  expect((await cache('stats', ...at, '--tenant', 'acme')).stdout).toMatch(/^Kept: 1 answers, /);
  expect((await cache('purge', ...at, '--tenant', 'acme')).stdout).toMatch(/^Removed: 1 answers, /);
  expect((await cache('purge', ...at, '--model', 'slow')).stdout).toMatch(/^Removed: 0 answers, /);
  expect((await cache('purge', ...at, '--model', 'fast')).stdout).toMatch(/^Removed: 1 answers, /);
  expect((await cache('stats', ...at)).stdout).toMatch(/^Kept: 0 answers, /);
});

test('mizan cache says where nobody answers, and exits 1', async () => {
  const { code, stdout, stderr } = await cache('stats', '--url', 'http://127.0.0.1:1');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(
    /^There is no Mizan at http:\/\/127\.0\.0\.1:1 \(.+\); give --url where it runs elsewhere\.\n$/,
  );
});
