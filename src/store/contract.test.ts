import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { PostgresServer } from '../../test/support/postgres.ts';
import { anyPostgres } from '../../test/support/postgres.ts';
import { storeContract } from './contract.suite.ts';
import { openStore } from './index.ts';

const events = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const root = mkdtempSync(join(tmpdir(), 'mizan-test-'));
let folders = 0;
let server: PostgresServer | undefined;

afterAll(async () => {
  await server?.end();
  rmSync(root, { recursive: true, force: true });
});

storeContract('SQLite', async () => {
  const at = { folder: join(root, 'sqlite'), url: null };
  return { open: () => openStore({ ...at, events }), openDirect: () => openStore(at) };
});

storeContract('PostgreSQL', async () => {
  server ??= await anyPostgres();
  const url = await server.newDatabase();
  const at = () => ({ folder: join(root, `postgres-${++folders}`), url });
  return { open: () => openStore({ ...at(), events }), openDirect: () => openStore(at()) };
});
