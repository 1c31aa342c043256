import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import type { PostgresServer } from './support/postgres.ts';
import { anyPostgres } from './support/postgres.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

interface Entry {
  readonly action: string;
  readonly outcome: string;
  readonly actor: string;
  readonly target: string | null;
  readonly before: unknown;
  readonly after: unknown;
}

/** Newest last. */
async function entries(data: string): Promise<Entry[]> {
  const { stdout } = await mizan(['audit', 'export', '--data', data], { cwd: data });
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Entry]));
}

let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(() => server.end());

describe('what is done to the database by command is in the audit log', () => {
  test.each(['SQLite', 'PostgreSQL'])('with %s: migrate, clean, rebuild-sums', async (engine) => {
    const data = temporaryFolder();
    const url = engine === 'SQLite' ? '' : await server.newDatabase();
    const run = async (...args: readonly string[]) => {
      const { code } = await mizan([...args, '--data', data], { cwd: data, env: { DATABASE_URL: url } });
      expect(code).toBe(0);
    };
    await run('migrate');
    // Nothing is left to do, so that there is nothing to note.
    await run('migrate');
    await run('db', 'clean');
    await run('db', 'rebuild-sums');
    const noted = await entries(data);
    expect(noted.map(({ action, outcome, actor }) => [action, outcome, actor])).toEqual([
      ['db.migrate', 'done', 'operator'],
      ['db.clean', 'done', 'operator'],
      ['db.rebuild-sums', 'done', 'operator'],
    ]);
    expect(noted[0]!.after).toEqual({ steps: expect.arrayContaining(['0001-requests-and-keys']) as unknown });
    expect(noted[1]!.after).toMatchObject({ requests: 0, payloads: 0, rollups: 0 });
  });

  test('copies, in the data folder of either end, without the password', async () => {
    const [from, to] = [temporaryFolder(), temporaryFolder()];
    expect((await mizan(['keys', 'create', '--data', from])).code).toBe(0);
    const url = new URL(await server.newDatabase());
    url.password = 'do-not-show-me';
    const cwd = temporaryFolder();
    const copy = (...ends: readonly string[]) => mizan(['db', 'copy', '--from', ends[0]!, '--to', ends[1]!], { cwd });
    expect((await copy(`sqlite:${from}`, url.href)).code).toBe(0);
    const noted = (await entries(from)).filter(({ action }) => action === 'db.copy');
    expect(noted).toMatchObject([
      { outcome: 'done', before: { from: `sqlite:${from}` }, after: { rows: { api_keys: 1 } } },
    ]);
    expect(noted[0]!.target).toBe(`postgres://${url.host}${url.pathname}`);
    expect(JSON.stringify(noted)).not.toContain('do-not-show-me');
    expect((await copy(`sqlite:${from}`, `sqlite:${join(to, 'mizan.db')}`)).code).toBe(0);
    expect((await entries(to)).map(({ action }) => action)).toEqual(['db.copy']);
    expect((await mizan(['audit', 'verify', '--data', to])).code).toBe(0);
  });
});
