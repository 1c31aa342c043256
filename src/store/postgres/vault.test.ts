import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { apiKeyRecord } from '../../../test/support/api-key.ts';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { PostgresServer } from '../../../test/support/postgres.ts';
import { anyPostgres } from '../../../test/support/postgres.ts';
import { SetupError } from '../../core/errors.ts';
import type { SealContext } from '../../core/sealing.ts';
import { Secret } from '../../core/secret.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import type { Store } from '../index.ts';
import { openStore } from '../index.ts';
import { vaultFile } from '../sqlite/file.ts';
import { readStoredSecrets } from '../sqlite/stored-secrets.ts';

let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(() => server.end());

const events = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const context: SealContext = { tenant: 'acme', purpose: 'payload', row: 'req_1' };
const data = Buffer.from('what was said');

function masterKeys(byte: number, folder: string): MasterKeys {
  const key = new Secret(Buffer.alloc(32, byte).toString('base64'));
  return new MasterKeys({ ...noMasterKeySettings, key }, folder);
}

async function open(url: string, { master = 7, folder = temporaryFolder() } = {}): Promise<Store> {
  const store = await openStore({ folder, url, events, masterKeys: masterKeys(master, folder) });
  onTestFinished(() => store.close());
  return store;
}

async function settled(...stores: readonly Store[]): Promise<void> {
  for (const store of stores) await store.settled();
}

const refusal = (opening: Promise<unknown>): Promise<unknown> =>
  opening.then(
    () => 'it was opened',
    (error: unknown) => error,
  );

describe('with PostgreSQL', () => {
  test('what one Mizan sealed, the others open, and they believe its API keys', async () => {
    const url = await server.newDatabase();
    const [here, there] = [await open(url), await open(url)];
    const sealed = here.vault.ring.seal(data, context);
    here.vault.values.put('secret', 'openrouter', Buffer.from('sk-1234'));
    here.apiKeys.insert(apiKeyRecord({ id: 'k1' }));
    await settled(here, there);
    expect(there.vault.ring.open(sealed, context)).toStrictEqual(data);
    expect(there.vault.values.get('secret', 'openrouter')?.toString()).toBe('sk-1234');
    expect(there.apiKeys.find('k1')).toStrictEqual(apiKeyRecord({ id: 'k1' }));
  });

  test('of two first keys that are made at once the later one arrives retired, and opens what it sealed', async () => {
    const url = await server.newDatabase();
    const [here, there] = [await open(url), await open(url)];
    const sealed = [here, there].map((store) => store.vault.ring.seal(data, context));
    await settled(here, there, here);
    for (const { vault } of [here, there]) {
      for (const one of sealed) expect(vault.ring.open(one, context)).toStrictEqual(data);
      const keys = vault.keys().filter(({ purpose }) => purpose === 'payload');
      expect(keys.map(({ state }) => state).toSorted()).toStrictEqual(['active', 'retired']);
    }
    const active = (store: Store): string => store.vault.ring.take('acme', 'payload').id;
    expect(active(here)).toBe(active(there));
  });

  test('a master key that is another one than that of the others is refused, and leaves nothing behind', async () => {
    const url = await server.newDatabase();
    const here = await open(url);
    here.vault.ring.seal(data, context);
    await here.settled();
    const error = await refusal(open(url, { master: 8 }));
    expect(error).toBeInstanceOf(SetupError);
    expect((error as SetupError).message).toMatch(/^The master key is not the right one: the data is sealed under /);
    const before = here.vault.keys();
    await here.settled();
    expect(here.vault.keys()).toStrictEqual(before);
  });

  test('of two that start at once on an empty database with different master keys, one is refused', async () => {
    const url = await server.newDatabase();
    const results = await Promise.all([7, 8].map((master) => refusal(open(url, { master }))));
    const errors = results.filter((result) => result instanceof SetupError);
    expect(errors.map(({ message }) => message)).toStrictEqual([
      expect.stringMatching(/^The master key is not the right one/),
    ]);
  });

  test('each data folder counts for itself what it seals', async () => {
    const url = await server.newDatabase();
    const [here, there] = [await open(url), await open(url)];
    const usesIn = ({ vault }: Store) => vault.keys().find(({ purpose }) => purpose === 'payload')?.uses ?? 0;
    here.vault.ring.seal(data, context);
    await settled(here, there);
    const known = usesIn(there);
    for (let i = 0; i < 100; i++) here.vault.ring.seal(data, context);
    there.vault.ring.renew('acme', 'message');
    await settled(there, here);
    expect(usesIn(here)).toBeGreaterThanOrEqual(101);
    expect(usesIn(there)).toBe(known);
  });

  test('of revocations of the same at two Mizans at once, the one that reaches furthest holds at both', async () => {
    const url = await server.newDatabase();
    const [here, there] = [await open(url), await open(url)];
    const of = { kind: 'sub', value: 'ali', tenant: 'acme' } as const;
    const until = Date.now() + 3_600_000;
    for (const [first, second] of [
      [here, there],
      [there, here],
    ] as const) {
      const value = first === here ? 'ali' : 'sara';
      first.revocations.add({ ...of, value, scope: 'own', revokedAt: 1000, expiresAt: until });
      second.revocations.add({ ...of, value, scope: 'any', revokedAt: 2000, expiresAt: null });
    }
    await settled(here, there, here);
    for (const { revocations } of [here, there]) {
      const found = revocations.list('acme', until + 1).map(({ value, scope, revokedAt }) => [value, scope, revokedAt]);
      expect(found).toStrictEqual([
        ['ali', 'any', 2000],
        ['sara', 'any', 2000],
      ]);
    }
  });

  test("a tenant's keys that are destroyed at one are gone at the others", async () => {
    const url = await server.newDatabase();
    const folder = temporaryFolder();
    const [here, there] = [await open(url, { folder }), await open(url)];
    const sealed = here.vault.ring.seal(data, context);
    await settled(here, there);
    there.vault.ring.open(sealed, context);
    const database = new DatabaseSync(join(folder, 'outbox.db'));
    const [row] = database.prepare("SELECT wrapped FROM data_keys WHERE tenant = 'acme'").all();
    database.close();
    const isThere = (): boolean =>
      readdirSync(folder).some((name) => readFileSync(join(folder, name)).includes(row!['wrapped'] as Uint8Array));
    expect(isThere()).toBe(true);
    there.vault.forgetTenant('acme');
    await settled(there, here);
    // At the next exchange, where somebody read the file just then.
    await vi.waitFor(() => expect(isThere()).toBe(false), { timeout: 10_000 });
    expect(() => here.vault.ring.open(sealed, context)).toThrow(expect.objectContaining({ code: 'unsealable' }));
  });

  test('stored secrets are read from the local copy, also of those that another Mizan stored', async () => {
    const url = await server.newDatabase();
    const folder = temporaryFolder();
    const [here, there] = [await open(url), await open(url, { folder })];
    here.vault.values.put('secret', 'openrouter', Buffer.from('sk-1234'));
    await settled(here, there);
    const stored = readStoredSecrets(join(folder, vaultFile(new Secret(url))), masterKeys(7, folder));
    expect([...stored]).toStrictEqual([['openrouter', 'sk-1234']]);
  });
});
