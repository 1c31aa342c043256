import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { newRequestId } from '../src/core/ids.ts';
import type { RequestRecord } from '../src/core/request-record.ts';
import { publicRequest } from '../src/core/request-record.ts';
import { openStore } from '../src/store/index.ts';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import type { PostgresServer } from './support/postgres.ts';
import { anyPostgres } from './support/postgres.ts';
import { requestRecord } from './support/records.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const day = 86_400_000;
const start = Date.UTC(2026, 0, 1);

/** More than two pages of one tenant, and some of another. */
const records: RequestRecord[] = Array.from({ length: 2500 }, (_, i) =>
  requestRecord({
    id: newRequestId(start + i * 60_000),
    time: start + i * 60_000,
    tenant: i % 50 === 7 ? 'other' : 'acme',
    errorMessage: i % 3 === 0 ? 'It said "no",\nand سلام' : null,
    tags: i % 5 === 0 ? { team: 'red' } : null,
  }),
).toReversed();
const byTenant = (list: readonly RequestRecord[]): RequestRecord[] => [
  ...list.filter(({ tenant }) => tenant === 'acme'),
  ...list.filter(({ tenant }) => tenant === 'other'),
];

/** RFC 4180. */
function cells(csv: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain = '', end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ',') rows.push([]);
  }
  return rows.slice(0, -1);
}

describe.each(['SQLite', 'PostgreSQL'])('an export from %s', (engine) => {
  const place = { cwd: mkdtempSync(join(tmpdir(), 'mizan-test-')), env: {} as Record<string, string> };
  let server: PostgresServer | null = null;

  beforeAll(async () => {
    if (engine === 'PostgreSQL') {
      server = await anyPostgres();
      place.env['DATABASE_URL'] = await server.newDatabase();
    }
    const store = await openStore({ folder: join(place.cwd, 'data'), url: place.env['DATABASE_URL'] ?? null });
    for (const record of records) void store.requestLog.append(record);
    await store.settled();
    await store.close();
  });

  afterAll(async () => {
    rmSync(place.cwd, { recursive: true });
    await server?.end();
  });

  test('has every request, newest first, tenant by tenant', async () => {
    const { code, stdout, stderr } = await mizan(['requests', 'export'], place);
    expect([code, stderr]).toEqual([0, '2500 requests exported.\n']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(byTenant(records).map(publicRequest));
  });

  test('is CSV where that is asked for', async () => {
    const { stdout } = await mizan(['requests', 'export', '--format', 'csv', '--tenant', 'other'], place);
    const [head = [], ...rows] = cells(stdout);
    const asked = records.filter(({ tenant }) => tenant === 'other');
    expect(rows.map((row) => row[head.indexOf('id')])).toEqual(asked.map(({ id }) => id));
    expect(rows.map((row) => row[head.indexOf('error_message')])).toEqual(
      asked.map(({ errorMessage }) => errorMessage ?? ''),
    );
    expect(new Set(rows.map((row) => row.length))).toEqual(new Set([head.length]));
  });

  test('has no cell that a spreadsheet would take for a formula', async () => {
    const cwd = temporaryFolder();
    const store = await openStore({ folder: join(cwd, 'data'), url: null });
    for (const session of ['=cmd|calc!A1', '+1', '-1', '@x', 'plain-1']) {
      void store.requestLog.append(requestRecord({ id: newRequestId(Date.now()), session }));
    }
    await store.settled();
    await store.close();
    const { stdout } = await mizan(['requests', 'export', '--format', 'csv'], { cwd });
    const [head = [], ...rows] = cells(stdout);
    const sessions = rows.map((row) => row[head.indexOf('session')]);
    expect(new Set(sessions)).toEqual(new Set(["'+1", "'-1", "'=cmd|calc!A1", "'@x", 'plain-1']));
  });

  test('is of the time that is asked about', async () => {
    const [from, to] = [new Date(start + day / 2).toISOString(), new Date(start + day).toISOString()];
    const { stdout } = await mizan(['requests', 'export', '--from', from, '--to', to, '--tenant', 'acme'], place);
    const ids = stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
    const asked = records.filter(
      ({ time, tenant }) => tenant === 'acme' && time >= start + day / 2 && time < start + day,
    );
    expect(ids).toEqual(asked.map(({ id }) => id));
    expect(ids.length).toBeGreaterThan(600);
  });

  test('refuses what it doesn’t understand', async () => {
    expect((await mizan(['requests', 'export', '--format', 'xml'], place)).code).toBe(2);
    expect((await mizan(['requests', 'export', '--from', 'yesterday'], place)).code).toBe(2);
  });

  test('shows on a terminal how far it is, and not among what it exports', () => {
    const bin = resolve(import.meta.dirname, '../bin/mizan.js');
    const command = `'${process.execPath}' '${bin}' requests export > '${join(place.cwd, 'out')}'`;
    const env = { PATH: process.env['PATH'] ?? '', ...place.env };
    const seen = execFileSync('script', ['-qec', command, '/dev/null'], { cwd: place.cwd, env, encoding: 'utf8' });
    expect(seen).toMatch(/export █+░* \d+ %, \d+ rows/);
    expect(seen).toMatch(/2500 requests exported/);
  });
});
