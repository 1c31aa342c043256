import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { folderTarget } from '../src/store/backup/targets/folder.ts';
import { holdBackups } from '../src/store/folder-lock.ts';
import { databaseFile } from '../src/store/sqlite/file.ts';
import { openStore } from '../src/store/sqlite/index.ts';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import { ask } from './support/http.ts';
import type { House, Running, RunningProcess } from './support/mizan.ts';
import { commonOptions, furnish, runMizan, startProcess } from './support/mizan.ts';
import type { S3Server } from './support/s3.ts';
import { startS3 } from './support/s3.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const config = {
  providers: { sim: { kind: 'simulator' } },
  models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
  agents: { assistant: { model: 'words' } },
};

interface Listed {
  readonly name: string;
  readonly target: string;
}

async function listed(house: House, ...more: string[]): Promise<Listed[]> {
  const { code, stdout } = await mizan(['backup', 'list', '--json', ...commonOptions(house), ...more]);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Listed[];
}

describe('mizan backup', () => {
  let s3: S3Server;
  let running: RunningProcess;
  let keyId: string;
  /** Of the backup that the first test makes. */
  let name: string;
  const of = (): string[] => commonOptions(running);

  beforeAll(async () => {
    s3 = await startS3();
    const { endpoint, bucket, prefix } = s3.settings('mizan/');
    const keys = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER', forcePathStyle: true };
    running = await startProcess({ ...config, backup: { keep: 2, s3: { endpoint, bucket, prefix, ...keys } } });
    const made = await mizan(['keys', 'create', '--json', ...of()]);
    keyId = (JSON.parse(made.stdout) as { readonly id: string }).id;
  });

  afterAll(async () => {
    await running.end();
    await s3.end();
  });

  test('makes one beside a running Mizan, and says where it is on stdout and nothing else', async () => {
    const { code, stdout, stderr } = await mizan(['backup', 'create', ...of()]);
    expect(code).toBe(0);
    const there = await listed(running);
    name = there[0]!.name;
    expect(stdout.split('\n')).toEqual([join(running.dataFolder, 'backups', name), `s3://backups/mizan/${name}`, '']);
    expect(stderr).toMatch(/^\d+ rows in \d+ tables, .* restored and compared\.\n$/);
    expect(there.map(({ target }) => target)).toEqual([join(running.dataFolder, 'backups'), 's3://backups/mizan/']);
    expect((await mizan(['backup', 'verify', name, ...of()])).stderr).toMatch(/is good/);
  });

  test('makes one where it is told to', async () => {
    const folder = join(temporaryFolder(), 'elsewhere');
    const { stdout } = await mizan(['backup', 'create', '--to', folder, '--json', ...of()]);
    const made = JSON.parse(stdout) as { readonly places: string[]; readonly manifest: { readonly config: string } };
    expect(made.places).toHaveLength(1);
    expect(made.manifest.config).toBe('mizan.yaml');
    expect((await listed(running, '--to', folder)).map((backup) => join(folder, backup.name))).toEqual(made.places);
    const bucket = await mizan(['backup', 'create', '--to', 's3://backups/other', ...of()]);
    expect(bucket.stdout).toMatch(/^s3:\/\/backups\/other\/mizan-/);
  });

  test('refuses to restore under a running Mizan, a file that is none, and wrong usage', async () => {
    const refused = await mizan(['backup', 'restore', name, ...of()]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/A Mizan runs on .* Stop it first/)]);
    const none = await mizan(['backup', 'verify', running.configFile, ...of()]);
    expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/no backup of Mizan/)]);
    expect((await mizan(['backup', 'restore', 'nothing', ...of()])).code).toBe(1);
    expect((await mizan(['backup', 'create', '--to', 's3', '--data', running.dataFolder])).code).toBe(2);
  });

  test('restores on an empty machine with one command, the file and the master key', async () => {
    const file = join(running.dataFolder, 'backups', name);
    const MIZAN_MASTER_KEY = readFileSync(join(running.dataFolder, 'master.key'), 'utf8').trim();
    const cwd = temporaryFolder();
    const without = await mizan(['backup', 'restore', file], { cwd });
    expect([without.code, without.stderr]).toEqual([2, expect.stringMatching(/MIZAN_MASTER_KEY/)]);
    expect(readdirSync(cwd)).toEqual([]);

    const { code, stdout, stderr } = await mizan(['backup', 'restore', file], { cwd, env: { MIZAN_MASTER_KEY } });
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toMatch(/The configuration of that time is in mizan\.yaml/);
    expect(readFileSync(join(cwd, 'mizan.yaml'), 'utf8')).toBe(readFileSync(running.configFile, 'utf8'));
    const keys = await mizan(['keys', 'list', '--json'], { cwd, env: { MIZAN_MASTER_KEY } });
    expect((JSON.parse(keys.stdout) as { readonly id: string }[]).map(({ id }) => id)).toEqual([keyId]);

    const audited = async () => {
      const verified = await mizan(['audit', 'verify'], { cwd, env: { MIZAN_MASTER_KEY } });
      expect([verified.code, verified.stdout]).toEqual([0, expect.stringMatching(/^The audit log is whole: /)]);
      const { stdout: entries } = await mizan(['audit', 'export'], { cwd, env: { MIZAN_MASTER_KEY } });
      return entries.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
    };
    expect((await audited()).map(({ action, before }) => [action, before])).toEqual([
      ['key.create', null],
      ['backup.restore', null],
    ]);
    expect(statSync(join(cwd, 'data', 'audit.key')).mode & 0o777).toBe(0o600);

    // And from the bucket; what is there now is kept aside, and the log goes on from the backup and says so.
    await mizan(['keys', 'create'], { cwd, env: { MIZAN_MASTER_KEY } });
    const fromBucket = await mizan(['backup', 'restore', name], { cwd, env: { MIZAN_MASTER_KEY } });
    expect([fromBucket.code, fromBucket.stderr]).toEqual([0, expect.stringMatching(/before-restore-/)]);
    expect((await audited()).map(({ action, before }) => [action, before])).toEqual([
      ['key.create', null],
      ['backup.restore', { audit_seq: 3 }],
    ]);
    expect(readdirSync(join(cwd, 'data')).filter((entry) => /work|fetched/.test(entry))).toEqual([]);
  });
});

describe('/api/backups', () => {
  let running: Running;
  let admin: string;

  beforeAll(async () => {
    running = await runMizan(config);
    admin = await running.token({ role: 'admin', scope: 'any' });
  });

  afterAll(() => running.end());

  interface State {
    readonly backups: Listed[];
    readonly run: { readonly state: string; readonly error: string | null; readonly backup: unknown } | null;
  }

  async function ended(): Promise<State> {
    for (;;) {
      const { json } = await ask(`${running.url}/api/backups`, { token: admin });
      if ((json as State).run?.state !== 'running') return json as State;
    }
  }

  test("is for admins of every tenant: a backup has everybody's data", async () => {
    const others = [await running.token({ role: 'operator', scope: 'any' }), await running.token({ role: 'admin' })];
    for (const token of others) {
      for (const method of ['GET', 'POST']) {
        expect((await ask(`${running.url}/api/backups`, { token, method })).status).toBe(403);
      }
    }
  });

  test('begins one, says how it does, and lists it once it was verified', async () => {
    const { json } = await ask(`${running.url}/api/backups`, { token: admin });
    expect(json).toEqual({ backups: [], problems: [], run: null });
    const begun = await ask(`${running.url}/api/backups`, { token: admin, method: 'POST' });
    expect([begun.status, begun.json]).toMatchObject([202, { run: { state: 'running', error: null } }]);
    const second = await ask(`${running.url}/api/backups`, { token: admin, method: 'POST' });
    expect([second.status, second.json]).toMatchObject([409, { error: { code: 'backup_running' } }]);
    const { run, backups } = await ended();
    expect(run).toMatchObject({ state: 'done', error: null, backup: { name: backups[0]!.name } });
  });

  test('says why one failed', async () => {
    const hold = holdBackups(running.dataFolder);
    await ask(`${running.url}/api/backups`, { token: admin, method: 'POST' });
    const { run, backups } = await ended();
    hold.release();
    expect(run).toMatchObject({ state: 'failed', error: 'Another backup of this data is being made.' });
    expect(backups).toHaveLength(1);
  });
});

describe('kill -9', () => {
  let house: House;
  let good: string;

  beforeAll(async () => {
    house = await furnish(config);
    await (await openStore(house.dataFolder)).close();
    const database = new DatabaseSync(join(house.dataFolder, databaseFile));
    database.exec(`
      CREATE TABLE filler (id INTEGER PRIMARY KEY, bytes BLOB);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
      INSERT INTO filler SELECT i, randomblob(10000) FROM n;`);
    database.close();
    const { stdout } = await mizan(['backup', 'create', ...commonOptions(house)]);
    good = basename(stdout.trim());
  });

  afterAll(() => house.remove());

  /** Runs code that says a line for every step it makes, and kills it at the `steps`th. */
  async function killedAt(steps: number, code: string): Promise<number> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    let seen = 0;
    for await (const _ of createInterface({ input: child.stdout })) {
      if (++seen === steps) child.kill('SIGKILL');
    }
    await exited;
    return seen;
  }

  const load = (path: string): string => `await import(${JSON.stringify(import.meta.resolve(path))})`;
  const setUp = (): string => `
    const { writeSync } = await import('node:fs');
    const { createBackup } = ${load('../src/store/backup/create.ts')};
    const { restoreBackup } = ${load('../src/store/backup/restore.ts')};
    const { backupEngine } = ${load('../src/store/backup/engines/index.ts')};
    const { folderTarget } = ${load('../src/store/backup/targets/folder.ts')};
    const { MasterKeys, noMasterKeySettings } = ${load('../src/security/master-keys.ts')};
    const dataFolder = ${JSON.stringify(house.dataFolder)};
    const common = {
      dataFolder,
      engine: backupEngine(dataFolder, null),
      masterKeys: new MasterKeys(noMasterKeySettings, dataFolder),
      onProgress: ({ step, done }) => writeSync(1, step + ' ' + done + '\\n'),
    };`;

  test('of 10 backups, each at another moment, leaves the last good one listed and no half file', async () => {
    let killed = 0;
    for (let i = 0; i < 10; i++) {
      const steps = await killedAt(
        1 + 3 * i,
        `${setUp()}
        await createBackup({ ...common, configFile: null, keep: 1, program: 'x', now: Date.now(),
          targets: [folderTarget(dataFolder + '/backups')] });
        writeSync(1, 'named\\n');`,
      );
      if (steps > 0) killed++;
      const there = await folderTarget(join(house.dataFolder, 'backups')).list();
      // One that was killed with its work done may have its name already; then it is the good one.
      expect(there.length).toBeGreaterThanOrEqual(1);
      good = there[0]!.name;
      expect(existsSync(join(house.dataFolder, 'backups', good))).toBe(true);
    }
    expect(killed).toBe(10);
    expect((await mizan(['backup', 'verify', good, ...commonOptions(house)])).code).toBe(0);
    expect((await mizan(['backup', 'create', ...commonOptions(house)])).code).toBe(0);
    expect(readdirSync(join(house.dataFolder, 'backups')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('of a restore leaves either what was there or the backup, whole', async () => {
    const file = join(house.dataFolder, 'backups', (await listed(house))[0]!.name);
    const database = () => new DatabaseSync(join(house.dataFolder, databaseFile));
    const mark = database();
    mark.exec('CREATE TABLE since (a)');
    mark.close();
    let outcomes = '';
    for (const steps of [5, 20, 33, 1000]) {
      await killedAt(
        steps,
        `${setUp()}
        await restoreBackup(${JSON.stringify(file)}, { ...common, configFile: dataFolder + '/x.yaml' });`,
      );
      await (await openStore(house.dataFolder)).close();
      const now = database();
      expect(now.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
      expect(now.prepare('SELECT count(*) AS n FROM filler').get()).toEqual({ n: 400 });
      outcomes += now.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'since'").get() === undefined ? 'new ' : 'old ';
      now.close();
    }
    expect(outcomes).toMatch(/^(old )+(new )+$/);
  });
});
