import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { PostgresServer } from '../../test/support/postgres.ts';
import { anyPostgres } from '../../test/support/postgres.ts';
import type { NamedJob, StoredJob } from '../core/jobs.ts';
import { openStore } from '../store/index.ts';
import { syncConfigured } from './index.ts';
import { jobOf } from './job.suite.ts';

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const now = Date.UTC(2026, 0, 1);
let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(() => server.end());

function made(count: number, given: Partial<NamedJob> = {}): NamedJob[] {
  return Array.from({ length: count }, (_, i) => jobOf({ name: `job-${i}`, ...given }));
}

test.each(['SQLite', 'PostgreSQL'])('jobs are what the configuration says, however many, on %s', async (kind) => {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-configured-'));
  const url = kind === 'SQLite' ? null : await server.newDatabase();
  const store = await openStore({ folder, url, events: silent });
  onTestFinished(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const { jobs } = store;
  const named = async (): Promise<Map<string, StoredJob>> => new Map((await jobs.jobs()).map((job) => [job.name, job]));
  const revisions = async (): Promise<number[]> => [...(await named()).values()].map(({ revision }) => revision);
  const others = { ...made(1)[0]!, name: 'of the API' };
  await jobs.put(others, { source: 'api', by: 'ada', now });

  await syncConfigured(jobs, made(250), now);
  expect((await named()).size).toBe(251);
  await jobs.advance('job-7', now + 1000);
  await jobs.pause('job-8', 'ada', now);

  // Nothing has changed: so nothing is written.
  const before = await revisions();
  await syncConfigured(jobs, made(250).toReversed(), now + 5000);
  expect(await revisions()).toEqual(before);

  const schedule = { kind: 'every', everyMs: 90_000 } as const;
  const tenants = { tenant: 'acme', settings: { words: `it's "so" \\ ☃` }, schedule };
  await syncConfigured(jobs, [...made(130), ...made(140, tenants).slice(130)], now + 9000);
  const after = await named();
  expect(after.size).toBe(141);
  const changed = [...after.values()].filter(({ revision }) => revision > Math.max(...before));
  expect(changed.map(({ tenant, cursor }) => [tenant, cursor])).toEqual(
    Array.from({ length: 10 }, () => ['acme', now + 9000]),
  );
  expect(after.get('job-7')).toMatchObject({ cursor: now + 1000 });
  expect(after.get('job-8')).toMatchObject({ pausedBy: 'ada' });
  expect((await jobs.settings(['job-139'])).get('job-139')).toEqual(tenants.settings);
  await syncConfigured(jobs, [], now + 9000);
  expect([...(await named()).keys()]).toEqual(['of the API']);
});
