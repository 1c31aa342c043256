import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { publicPayload } from '../src/core/payload.ts';
import { Secret } from '../src/core/secret.ts';
import { MasterKeys, noMasterKeySettings } from '../src/security/master-keys.ts';
import { openStore } from '../src/store/index.ts';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import { ask, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
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

interface Row {
  readonly id: string;
}

async function start(url: string): Promise<RunningProcess> {
  const running = await startProcess({
    database: { url },
    providers: { sim: { kind: 'simulator' } },
    models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    agents: { assistant: { model: 'words' } },
    payloads: { mode: 'all' },
  });
  onTestFinished(() => running.end());
  return running;
}

/** What the audit log of a place has, which verifies. */
async function audited(place: { readonly cwd: string; readonly env: Readonly<Record<string, string>> }) {
  const verified = await mizan(['audit', 'verify'], place);
  expect([verified.code, verified.stdout]).toEqual([0, expect.stringMatching(/^The audit log is whole: /)]);
  const { stdout } = await mizan(['audit', 'export'], place);
  return stdout.split('\n').flatMap((line) => {
    if (line === '') return [];
    const { action, before } = JSON.parse(line) as { readonly action: string; readonly before: unknown };
    return [[action, before]];
  });
}

test('a backup of the store in PostgreSQL is made beside a running Mizan, verified, and restored elsewhere', async () => {
  const url = await server.newDatabase();
  const running = await start(url);
  const token = await running.token({ role: 'operator' });
  const ids: string[] = [];
  for (let i = 0; i < 20; i++) {
    const { json } = await post(`${running.url}/ai-process`, token, { input: `Say hello ${i}` });
    ids.push((json as Row).id);
  }
  const payload = await vi.waitFor(
    async () => {
      const { json } = await ask(`${running.url}/api/requests/${ids.at(-1)}`, { token });
      const shown = (json as { readonly payload?: object | null }).payload;
      expect(shown).toMatchObject({ is_readable: true });
      return shown;
    },
    { timeout: 20_000, interval: 50 },
  );

  const key = await mizan(['keys', 'create', '--json', ...commonOptions(running)]);
  expect(key.code).toBe(0);
  const made = await mizan(['backup', 'create', '--json', ...commonOptions(running)]);
  expect([made.code, made.stderr]).toEqual([0, expect.any(String)]);
  const { places, manifest } = JSON.parse(made.stdout) as {
    readonly places: [string];
    readonly manifest: { readonly tables: { readonly name: string; readonly rows: number }[] };
  };
  const rows = Object.fromEntries(manifest.tables.map((table) => [table.name, table.rows]));
  expect(rows).toMatchObject({ requests: 20, payloads: 20, 'audit.db': 1 });
  const [file] = places;
  expect((await mizan(['backup', 'verify', file, ...commonOptions(running)])).code).toBe(0);

  const broken = join(temporaryFolder(), 'broken.backup');
  const bytes = readFileSync(file);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  writeFileSync(broken, bytes);
  const refused = await mizan(['backup', 'verify', broken, ...commonOptions(running)]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/damaged/)]);

  const place = {
    cwd: temporaryFolder(),
    env: {
      DATABASE_URL: await server.newDatabase(),
      MIZAN_MASTER_KEY: readFileSync(join(running.dataFolder, 'master.key'), 'utf8').trim(),
    },
  };
  const nothing = await mizan(['backup', 'restore', broken], place);
  expect([nothing.code, nothing.stderr]).toEqual([1, expect.stringMatching(/damaged/)]);
  const restored = await mizan(['backup', 'restore', file], place);
  expect([restored.code, restored.stderr]).toEqual([0, expect.stringMatching(/The data is that of/)]);
  // The configuration that came with it names the other database, which must not be used in the place of this one.
  expect(restored.stderr).toMatch(/data\/restored-mizan\.yaml\.\n.*names another database.*\n.*move it to mizan\.yaml/);
  expect(readdirSync(place.cwd)).toEqual(['data']);
  const listed = await mizan(['requests', '--limit', '1000', '--json'], place);
  expect((JSON.parse(listed.stdout) as Row[]).map(({ id }) => id)).toEqual(ids.toReversed());

  // The audit log came with it, and goes on from there; what was there before is kept aside and accounted for.
  expect(await audited(place)).toEqual([
    ['key.create', null],
    ['backup.restore', null],
  ]);
  expect((await mizan(['keys', 'create'], place)).code).toBe(0);
  const again = await mizan(['backup', 'restore', file], place);
  expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/before_restore_/)]);
  expect(await audited(place)).toEqual([
    ['key.create', null],
    ['backup.restore', { audit_seq: 3 }],
  ]);
  const aside = readdirSync(join(place.cwd, 'data')).filter((name) => name.startsWith('before-restore-'));
  expect(readdirSync(join(place.cwd, 'data', aside.at(-1)!))).toEqual(
    expect.arrayContaining(['audit.head', 'audit.key', 'mizan.db', 'outbox.db']),
  );
  expect(readdirSync(join(place.cwd, 'data')).filter((name) => /restored$|work/.test(name))).toEqual([]);

  // What was said opens there, too, with the same master key.
  const master = new Secret(place.env.MIZAN_MASTER_KEY);
  const folder = join(place.cwd, 'data');
  const store = await openStore({
    folder,
    url: place.env.DATABASE_URL,
    masterKeys: new MasterKeys({ ...noMasterKeySettings, key: master }, folder),
  });
  const kept = await store.payloadHistory.find('default', ids.at(-1)!);
  await store.close();
  expect(publicPayload(kept!)).toStrictEqual(payload);
});
