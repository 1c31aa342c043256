import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { apiKeyRecord } from '../../../test/support/api-key.ts';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { PostgresServer } from '../../../test/support/postgres.ts';
import { anyPostgres } from '../../../test/support/postgres.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { newRequestId } from '../../core/ids.ts';
import { everyTenant } from '../../core/request-record.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import { openStore } from '../index.ts';
import { copyDatabase } from './index.ts';

// The machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(() => server.end());

const step = {
  model: 'fast',
  instance: 'a',
  provider: 'sim',
  purpose: 'first',
  outcome: 'ok',
  detail: 'سلام',
  startedMs: 1e-9,
  durationMs: 2,
} as const;

test('everything goes from SQLite to PostgreSQL and back, and is the same', async () => {
  const [first, second] = [temporaryFolder(), temporaryFolder()];
  const masterKeys = new MasterKeys(noMasterKeySettings, first);
  const store = await openStore({ folder: first, url: null, masterKeys });
  const start = Date.now();
  for (let i = 0; i < 1200; i++) {
    const trail = i % 10 === 0 ? [step, step] : null;
    void store.requestLog.append(
      requestRecord({
        id: newRequestId(start + i * 60_000),
        time: start + i * 60_000,
        tenant: i % 3 === 0 ? 'سلام' : 'acme',
        principal: i === 7 ? 'a\u0000b' : 'someone 🙂',
        costUsd: i / 7,
        trail,
        attempts: trail === null ? 1 : 2,
      }),
    );
  }
  await store.settled();
  store.apiKeys.insert(apiKeyRecord({ id: 'k', agents: ['a'], revokedAt: 2 }));
  await store.overview('acme', { from: 0, to: 1 });
  const all = await store.requestHistory.list(everyTenant, { limit: 1000 });
  const said = Buffer.from('{"input": "سلام"}');
  const spoken = Array.from({ length: 40 }, (_, i) => newRequestId(start + i * 60_000));
  for (const requestId of spoken) {
    const request = { bytes: said, wholeBytes: said.length };
    store.payloads.keep({ requestId, tenant: 'سلام', request, answer: () => request, error: null, size: 1 });
  }
  const kept = await store.payloadHistory.find('سلام', spoken[7]!);
  expect(kept).toMatchObject({ isReadable: true, request: said.toString() });
  await store.close();

  const url = await server.newDatabase();
  const told = new Set<string>();
  const copied = await copyDatabase({ from: `sqlite:${first}`, to: url }, ({ step: at }) => told.add(at));
  expect(copied.filter(({ isSame }) => !isSame)).toStrictEqual([]);
  const counts = Object.fromEntries(copied.map(({ name, rows }) => [name, rows]));
  expect(counts).toMatchObject({ requests: 1200, attempts: 240, api_keys: 1, payloads: 40, data_keys: 3 });
  expect(counts['rollups']).toBeGreaterThan(1200);
  expect([...told]).toStrictEqual(['copy', 'compare']);

  // Again changes nothing, and finds the same.
  expect(await copyDatabase({ from: `sqlite:${first}`, to: url }, () => {})).toStrictEqual(copied);
  const back = join(second, 'mizan.db');
  expect(await copyDatabase({ from: url, to: `sqlite:${back}` }, () => {})).toStrictEqual(copied);
  const restored = await openStore({ folder: second, url: null, masterKeys });
  expect(await restored.payloadHistory.find('سلام', spoken[7]!)).toStrictEqual(kept);
  expect(await restored.requestHistory.list(everyTenant, { limit: 1000 })).toStrictEqual(
    all.map((record) => (record.principal === 'a\u0000b' ? { ...record, principal: 'a\uFFFDb' } : record)),
  );
  await restored.close();

  const changed = new DatabaseSync(back);
  changed.exec('UPDATE requests SET cost_usd = cost_usd + 1e-9 WHERE id = (SELECT max(id) FROM requests)');
  changed.close();
  const differs = await copyDatabase({ from: url, to: `sqlite:${back}` }, () => {});
  expect(differs.filter(({ isSame }) => !isSame).map(({ name }) => name)).toStrictEqual(['requests']);
});

test('a log without what was said goes to PostgreSQL, too: tables that were compared are in nobody’s way', async () => {
  const folder = temporaryFolder();
  const store = await openStore({ folder, url: null });
  const time = Date.now();
  void store.requestLog.append(requestRecord({ id: newRequestId(time), time, trail: null, attempts: 1 }));
  await store.settled();
  await store.close();
  const url = await server.newDatabase();
  const copied = await copyDatabase({ from: `sqlite:${folder}`, to: url }, () => {});
  expect(copied.filter(({ isSame }) => !isSame)).toStrictEqual([]);
  const counts = Object.fromEntries(copied.map(({ name, rows }) => [name, rows]));
  expect(counts).toMatchObject({ requests: 1, attempts: 0, payloads: 0 });
});

test('what is no database is refused', async () => {
  const folder = temporaryFolder();
  await expect(copyDatabase({ from: `sqlite:${folder}`, to: 'sqlite:x' }, () => {})).rejects.toThrow(/no database/);
  await expect(copyDatabase({ from: 'mysql://x', to: 'sqlite:x' }, () => {})).rejects.toThrow(/postgres:\/\//);
});
