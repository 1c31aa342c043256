import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { databaseFile } from '../src/store/sqlite/file.ts';
import { errorOf, post } from './support/http.ts';
import { runMizan } from './support/mizan.ts';

vi.setConfig({ testTimeout: 120_000 });

const holding = `
  const { DatabaseSync } = require('node:sqlite');
  new DatabaseSync(process.argv[1], { timeout: 5000 }).exec('BEGIN IMMEDIATE');
  process.stdout.write('held');
  process.stdin.resume();
`;

test('while another process holds the database, changes are refused for a moment, and change nothing', async () => {
  const mizan = await runMizan({ providers: { sim: { kind: 'simulator' } } });
  onTestFinished(() => mizan.end());
  const admin = await mizan.token({ role: 'admin' });
  const other = spawn(process.execPath, ['-e', holding, join(mizan.dataFolder, databaseFile)]);
  onTestFinished(() => void other.kill('SIGKILL'));
  await once(other.stdout, 'data');
  const orders: [path: string, body: object][] = [
    ['/api/keys', { name: 'k' }],
    ['/api/limits', { name: 'l', rpm: 5 }],
    ['/api/budgets', { name: 'b', usd: 5, per: 'day' }],
  ];
  for (const [path, body] of orders) {
    const answer = await post(`${mizan.url}${path}`, admin, body);
    expect(answer.status).toBe(503);
    expect(errorOf(answer.json)).toMatchObject({ code: 'database_busy', type: 'unavailable' });
    expect(answer.headers.get('retry-after')).toBe('1');
  }
  other.kill('SIGKILL');
  await once(other, 'exit');
  for (const [path, body] of orders) expect((await post(`${mizan.url}${path}`, admin, body)).status).toBe(201);
});
