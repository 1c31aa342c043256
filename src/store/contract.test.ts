import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { PostgresServer } from '../../test/support/postgres.ts';
import { anyPostgres } from '../../test/support/postgres.ts';
import { Secret } from '../core/secret.ts';
import { MasterKeys, noMasterKeySettings } from '../security/master-keys.ts';
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
  const key = new Secret(randomBytes(32).toString('base64'));
  const at = () => {
    const folder = join(root, `postgres-${++folders}`);
    return { folder, url, masterKeys: new MasterKeys({ ...noMasterKeySettings, key }, folder) };
  };
  return { open: () => openStore({ ...at(), events }), openDirect: () => openStore(at()) };
});
