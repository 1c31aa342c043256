import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import { ask, errorOf, post } from './support/http.ts';
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

  // The machine that is asked over HTTP tells of both, a page at a time.
  const pages: Copied[] = [];
  for (let more = '', i = 0; i < 3 && more !== 'null'; i++) {
    const { status, json } = await ask(`${serving.url}/api/audit?everywhere=true&limit=1${more}`, { token: admin });
    expect(status).toBe(200);
    const page = json as { entries: Copied[]; next_before: string | null };
    pages.push(...page.entries);
    more = page.next_before === null ? 'null' : `&before=${page.next_before}`;
  }
  expect(pages.map(({ log, seq }) => [log, seq])).toEqual([first!, second!].map(({ log, seq }) => [log, seq]));
  const own = await ask(`${serving.url}/api/audit`, { token: admin });
  expect(did((own.json as { entries: Copied[] }).entries)).toEqual(['key.create']);
  const strangers = await serving.token({ role: 'admin', tenant: 'strangers' });
  const theirs = await ask(`${serving.url}/api/audit?everywhere=true`, { token: strangers });
  expect(theirs.json).toEqual({ entries: [], next_before: null });
  const mistaken = await ask(`${serving.url}/api/audit?everywhere=true&before=1`, { token: admin });
  expect([mistaken.status, errorOf(mistaken.json).param]).toEqual([400, 'before']);

  // Each machine proves its own copies; whoever has the keys, all of them.
  const verify = (...more: readonly string[]) => mizan(['audit', 'verify', '--everywhere', ...more], other);
  const partly = await verify();
  expect([partly.code, partly.stdout.match(/were not checked/g)?.length]).toEqual([0, 1]);
  const withKey = ['--key', join(serving.dataFolder, 'audit.key')];
  const wholly = await verify(...withKey);
  expect([wholly.code, wholly.stdout.match(/whole: 1 entries/g)?.length]).toEqual([0, 3]);
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query("UPDATE audit_copies SET action = 'key.revoke' WHERE log = $1", [first!.log]);
  const broken = await verify(...withKey);
  expect([broken.code, broken.stdout.match(/not whole: entry 1: .*/g)?.length]).toEqual([1, 1]);
  await client.query("UPDATE audit_copies SET action = 'key.create' WHERE log = $1", [first!.log]);
  await client.end();

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
  const alone = await startProcess({ providers: { sim: { kind: 'simulator' } } });
  onTestFinished(() => alone.end());
  const { status, json } = await ask(`${alone.url}/api/audit?everywhere=true`, {
    token: await alone.token({ role: 'admin' }),
  });
  expect([status, errorOf(json).param]).toEqual([400, 'everywhere']);
});
