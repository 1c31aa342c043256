import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../core/clock.ts';
import { noMasterKeySettings } from '../../security/master-keys.ts';
import { databaseFile } from '../sqlite/file.ts';
import { openStore } from '../sqlite/index.ts';
import { BackupService } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'mizan-backup-'));
const settings = {
  dataFolder: folder,
  databaseUrl: null,
  dir: null,
  s3: null,
  keep: 3,
  masterKey: noMasterKeySettings,
  configFile: null,
  program: 'test',
};
const service = new BackupService(settings, systemClock, { done() {}, failed() {} });

beforeAll(async () => {
  await (await openStore(folder)).close();
  const database = new DatabaseSync(join(folder, databaseFile));
  database.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
    INSERT INTO payloads (tenant, request_id, sealed, request_bytes, answer_bytes, is_cut)
    SELECT 'acme', 'req_' || i, randomblob(65536), 1, 1, 0 FROM n`);
  database.close();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const backups = (): string[] => (existsSync(join(folder, 'backups')) ? readdirSync(join(folder, 'backups')) : []);

test.for(['copying', 'counting', 'writing', 'verifying'])(
  'a backup that is told to stop while it is %s is given up at once, and leaves nothing behind',
  { timeout: 60_000 },
  async (step) => {
    const abort = new AbortController();
    const making = service.create(undefined, abort.signal);
    const watch = setInterval(() => {
      if (service.lastRun?.step === step) abort.abort();
    }, 1);
    await expect(making).rejects.toMatchObject({ code: 'shutting_down' });
    clearInterval(watch);
    expect(abort.signal.aborted).toBe(true);
    expect(service.lastRun).toMatchObject({ state: 'failed', error: 'The backup was given up.' });
    expect(backups()).toEqual([]);
    expect(readdirSync(folder).filter((name) => name.includes('work'))).toEqual([]);
  },
);

test('one that was told so before it began is not begun, and the next is made', { timeout: 60_000 }, async () => {
  await expect(service.create(undefined, AbortSignal.abort())).rejects.toMatchObject({ code: 'shutting_down' });
  const { name } = await service.create(undefined, new AbortController().signal);
  expect(backups()).toEqual([name]);
});
