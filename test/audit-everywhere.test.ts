import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import { post } from './support/http.ts';
import { commonOptions, startProcess } from './support/mizan.ts';
import type { PostgresServer } from './support/postgres.ts';
import { anyPostgres } from './support/postgres.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 180_000 });

let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(() => server.end());

interface Copied {
  readonly log: string;
  readonly host: string;
  readonly seq: number;
  readonly action: string;
}

interface Place {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

async function everywhere(place: Place, command = 'export'): Promise<Copied[]> {
  const more = command === 'list' ? ['--json'] : [];
  const { code, stdout, stderr } = await mizan(['audit', command, '--everywhere', ...more], place);
  expect([code, stderr]).toEqual([0, '']);
  if (command === 'list') return JSON.parse(stdout) as Copied[];
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Copied]));
}

const did = (entries: readonly Copied[]): string[] => entries.map(({ action }) => action).toSorted();

test('the audit logs of all machines on one PostgreSQL are there, and in every backup of it', async () => {
  const url = await server.newDatabase();
  // One machine that serves, and one where commands are run.
  const serving = await startProcess({ database: { url }, providers: { sim: { kind: 'simulator' } } });
  onTestFinished(() => serving.end());
  const key = readFileSync(join(serving.dataFolder, 'master.key'), 'utf8').trim();
  const other = { cwd: temporaryFolder(), env: { DATABASE_URL: url, MIZAN_MASTER_KEY: key } };
  expect((await mizan(['keys', 'create', '--name', 'there'], other)).code).toBe(0);
  const admin = await serving.token({ role: 'admin' });
  expect((await post(`${serving.url}/api/keys`, admin, { name: 'here' })).status).toBe(201);
  await vi.waitFor(async () => expect(did(await everywhere(other))).toEqual(['key.create', 'key.create']), {
    timeout: 30_000,
  });
  const [first, second] = await everywhere(other, 'list');
  expect(first!.log).not.toBe(second!.log);
  expect(first!.host).toBe(second!.host);

  // The machine where commands were run is gone, and the backup is the other one's.
  rmSync(other.cwd, { recursive: true });
  expect((await mizan(['backup', 'create', ...commonOptions(serving)])).code).toBe(0);
  const backups = join(serving.dataFolder, 'backups');
  const file = join(backups, readdirSync(backups).at(-1)!);
  const place = { cwd: temporaryFolder(), env: { ...other.env, DATABASE_URL: await server.newDatabase() } };
  expect((await mizan(['backup', 'restore', file], place)).code).toBe(0);
  expect(did(await everywhere(place))).toEqual(['backup.restore', 'key.create', 'key.create']);
  // What is done from there on is added, once, though the log that was restored has its numbers again.
  expect((await mizan(['keys', 'create'], place)).code).toBe(0);
  expect(did(await everywhere(place))).toEqual(['backup.restore', 'key.create', 'key.create', 'key.create']);
});

test('without PostgreSQL there is one audit log, and that is said', async () => {
  const { code, stderr } = await mizan(['audit', 'list', '--everywhere'], { cwd: temporaryFolder() });
  expect([code, stderr]).toEqual([2, '--everywhere needs PostgreSQL: with SQLite there is one audit log.\n']);
});
