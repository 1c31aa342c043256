import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { PostgresServer } from '../../test/support/postgres.ts';
import { anyPostgres } from '../../test/support/postgres.ts';
import { openStore } from '../store/index.ts';
import { schedulerContract } from './scheduler.suite.ts';

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const folders: string[] = [];
let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(async () => {
  await server.end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-jobs-'));
  folders.push(folder);
  return folder;
}

schedulerContract('SQLite', async () => {
  const folder = newFolder();
  return { open: () => openStore({ folder, url: null, events: silent }) };
});

schedulerContract('PostgreSQL', async () => {
  const url = await server.newDatabase();
  const folder = newFolder();
  return { open: () => openStore({ folder, url, events: silent }) };
});
