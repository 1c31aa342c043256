import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../../test/support/folder.ts';
import { everyTenant } from '../../../core/request-record.ts';
import { newApiKey } from '../../../security/api-keys.ts';
import { databaseFile } from '../../sqlite/file.ts';
import { openStore } from '../../sqlite/index.ts';
import type { Store } from '../../sqlite/index.ts';
import type { World } from '../backup.suite.ts';
import { backupSuite } from '../backup.suite.ts';
import { backupEngine } from './index.ts';

async function world(isEmpty: boolean): Promise<World> {
  const dataFolder = temporaryFolder();
  let store: Store | null = isEmpty ? null : await openStore(dataFolder);
  const opened = async (): Promise<Store> => (store ??= await openStore(dataFolder));
  const leave = async (): Promise<void> => {
    await store?.close();
    store = null;
  };
  onTestFinished(leave);
  return {
    dataFolder,
    engine: backupEngine(dataFolder, null),
    async addKeys(count) {
      await opened();
      const database = new DatabaseSync(join(dataFolder, databaseFile));
      database.exec('BEGIN IMMEDIATE');
      const insert = database.prepare(
        "INSERT INTO api_keys (id, hash, name, tenant, role, created_at) VALUES (?, ?, 'name', 'default', 'member', 1)",
      );
      for (let i = 0; i < count; i++) insert.run(newApiKey().id, newApiKey().hash);
      database.exec('COMMIT');
      database.close();
    },
    countKeys: async () => (await opened()).apiKeys.list(everyTenant).length,
    async run(sql) {
      const database = new DatabaseSync(join(dataFolder, databaseFile));
      database.exec(sql);
      database.close();
    },
    leave,
    emptyPlace: () => world(true),
  };
}

backupSuite('SQLite', () => world(false));

test('a place without a database has nothing to back up', async () => {
  const folder = temporaryFolder();
  const engine = backupEngine(folder, null);
  await expect(engine.snapshot(folder, () => {})).rejects.toThrow(/nothing to back up/);
  expect(readdirSync(folder)).toEqual([]);
});

test('what was in use before is a whole database in a folder of its own', async () => {
  const { dataFolder, addKeys, leave } = await world(false);
  await addKeys(2);
  await leave();
  const engine = backupEngine(dataFolder, null);
  const fresh = join(temporaryFolder(), 'fresh.db');
  const made = new DatabaseSync(fresh);
  made.exec('CREATE TABLE t (a)');
  made.close();
  const adopted: (string | null)[] = [];
  for (let i = 0; i < 2; i++) {
    const scratch = await engine.scratch(dataFolder, 0);
    await scratch.take({ name: 'database', bytes: [readFileSync(fresh)] });
    adopted.push(await scratch.adopt());
  }
  expect(new Set(adopted).size).toBe(2);
  const old = new DatabaseSync(join(adopted[0]!, databaseFile), { readOnly: true });
  expect(old.prepare('SELECT count(*) AS n FROM api_keys').get()).toEqual({ n: 2 });
  old.close();
  expect(existsSync(join(dataFolder, `${databaseFile}-wal`))).toBe(false);
});
