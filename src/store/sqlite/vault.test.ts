import { apiKeyRecord } from '../../../test/support/api-key.ts';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SealContext } from '../../core/sealing.ts';
import { sealPurposes } from '../../core/sealing.ts';
import { KeyRing } from '../../security/key-ring.ts';
import { noMasterKeySettings } from '../../security/master-keys.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { SqliteDataKeys } from './data-keys.ts';
import { context, data, open, outcome } from './vault.suite.ts';

const hour = 3_600_000;

const record = apiKeyRecord({
  role: 'viewer',
  agents: ['assistant'],
  createdAt: 1,
  expiresAt: 9_000_000_000_000,
});

const unopened = ({ tenant, purpose, row }: SealContext): string =>
  `What is sealed at ${purpose} ${row} of ${tenant} can't be opened.`;

describe('what is sealed', () => {
  test.each(sealPurposes)('for %s opens as it was, in this process and the next', async (purpose) => {
    const { folder, vault } = await open();
    const sealed = vault.ring.seal(data, { ...context, purpose });
    expect(sealed.includes(data)).toBe(false);
    expect(vault.ring.open(sealed, { ...context, purpose })).toStrictEqual(data);
    const next = await open(folder);
    expect(next.vault.ring.open(sealed, { ...context, purpose })).toStrictEqual(data);
  });

  test('opens with exactly its context', async () => {
    const { ring } = (await open()).vault;
    const part = fc.oneof(fc.constantFrom('', 'a', 'ab', 'b'), fc.string({ unit: 'grapheme', maxLength: 5 }));
    const any = fc.record({ tenant: part, purpose: fc.constantFrom(...sealPurposes), row: part });
    fc.assert(
      fc.property(any, any, fc.uint8Array(), (here, there, bytes) => {
        const sealed = ring.seal(bytes, here);
        const isSame = here.tenant === there.tenant && here.purpose === there.purpose && here.row === there.row;
        const opened = outcome(() => ring.open(sealed, there).toString('hex'));
        expect(opened).toBe(isSame ? Buffer.from(bytes).toString('hex') : unopened(there));
      }),
      { numRuns: 200 },
    );
  });

  test('does not open with any bit of it changed, cut or added; and the error names the row only', async () => {
    const { ring } = (await open()).vault;
    const sealed = ring.seal(data, context);
    for (let i = 0; i < sealed.length * 8; i++) {
      const altered = Buffer.from(sealed);
      altered[i >> 3]! ^= 1 << (i & 7);
      expect(outcome(() => ring.open(altered, context))).toBe(unopened(context));
    }
    for (let length = 0; length < sealed.length; length++) {
      expect(() => ring.open(sealed.subarray(0, length), context)).toThrow(/can't be opened/);
    }
    expect(() => ring.open(Buffer.concat([sealed, Buffer.alloc(1)]), context)).toThrow(/can't be opened/);
  });

  test('has a key of its own for each tenant and purpose', async () => {
    const { vault } = await open();
    const sealed = ['acme', 'other'].flatMap((tenant) =>
      sealPurposes.map((purpose) =>
        vault.ring
          .seal(data, { ...context, tenant, purpose })
          .subarray(1, 9)
          .toString('hex'),
      ),
    );
    expect(new Set(sealed).size).toBe(2 * sealPurposes.length);
  });

  test('opens in another thread', async () => {
    const { folder, vault } = await open();
    const sealed = vault.ring.seal(data, context);
    const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    const code = `
      import { parentPort, workerData } from 'node:worker_threads';
      import { openDatabase } from ${url('./database.ts')};
      import { SqliteDataKeys } from ${url('./data-keys.ts')};
      import { KeyRing } from ${url('../../security/key-ring.ts')};
      import { MasterKeys } from ${url('../../security/master-keys.ts')};
      const { folder, settings, sealed, context } = workerData;
      const database = openDatabase(folder + '/mizan.db', { readOnly: false, busyTimeoutMs: 5000 });
      const ring = new KeyRing(new SqliteDataKeys(database), new MasterKeys(settings, folder), Date);
      const data = ring.open(sealed, context);
      parentPort.postMessage(ring.seal(data, { ...context, row: 'req_2' }));
      database.close();`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
      workerData: { folder, settings: noMasterKeySettings, sealed, context },
    });
    const back = await new Promise<Uint8Array>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });
    expect(vault.ring.open(back, { ...context, row: 'req_2' })).toStrictEqual(data);
  });
});

describe('a key', () => {
  test('gives way to another before it has sealed as much as it may, over restarts', async () => {
    const { database, masters, clock, folder } = await open();
    const limit = 100;
    const used = new Map<string, number>();
    for (let process = 0; process < 10; process++) {
      const ring = new KeyRing(new SqliteDataKeys(database), masters, clock, limit);
      for (let i = 0; i < 37; i++) {
        const sealed = ring.seal(data, context);
        const id = sealed.subarray(1, 9).toString('hex');
        used.set(id, (used.get(id) ?? 0) + 1);
        expect(ring.open(sealed, context)).toStrictEqual(data);
      }
    }
    expect(used.size).toBeGreaterThan(3);
    expect(Math.max(...used.values())).toBeLessThanOrEqual(limit);
    const kept = (await open(folder)).vault.keys().filter(({ purpose }) => purpose === 'payload');
    expect(kept.filter(({ state }) => state === 'active')).toHaveLength(1);
    expect(kept.every(({ id, uses }) => uses >= (used.get(id) ?? 0))).toBe(true);
  });

  test('that two processes make at once is one', async () => {
    const first = await open();
    const second = await open(first.folder);
    const ids = [first, second].map(({ vault }) => vault.ring.take('acme', 'session').id);
    expect(ids[0]).toBe(ids[1]);
  });

  test('that another process made is used at once, and the old one opens', async () => {
    const here = await open();
    const there = await open(here.folder);
    const old = here.vault.ring.seal(data, context);
    there.vault.ring.renew('acme', 'payload');
    const fresh = here.vault.ring.seal(data, context);
    expect(fresh.subarray(1, 9)).not.toStrictEqual(old.subarray(1, 9));
    for (const { vault } of [here, there]) {
      for (const sealed of [old, fresh]) expect(vault.ring.open(sealed, context)).toStrictEqual(data);
    }
  });
});

describe('rotation', () => {
  test('seals every row anew, wherever it was broken off, and then the old keys go', async () => {
    const { folder, clock, vault, apiKeys } = await open();
    for (let i = 0; i < 25; i++) {
      vault.values.put('secret', `s${i}`, Buffer.from(`value ${i}`));
      apiKeys.insert({ ...record, id: i.toString(16).padStart(16, '0') });
    }
    vault.renew({});
    const brokenOff = vault.rotation.reseal();
    for (let i = 0; i < 20; i++) brokenOff.next();
    // Killed here: nothing but the tables is left of it.
    const next = await open(folder, {}, clock);
    next.vault.renew({});
    // With the two pairs of the server's own keys.
    const finished = [...next.vault.rotation.reseal()].at(-1);
    expect(finished).toMatchObject({ done: 54, total: 54, damaged: [] });
    expect(next.vault.sweep()).toStrictEqual([]);
    clock.advance(61_000);
    expect(next.vault.sweep()).toHaveLength(6);
    const states = next.vault.keys().map(({ tenant, purpose, state }) => `${tenant} ${purpose} ${state}`);
    expect(states.toSorted()).toStrictEqual(['acme api-key active', 'system api-key active', 'system secret active']);
    for (let i = 0; i < 25; i++) {
      expect(vault.values.get('secret', `s${i}`)?.toString()).toBe(`value ${i}`);
      expect(apiKeys.find(i.toString(16).padStart(16, '0'))?.role).toBe('viewer');
    }
  });

  test('is finished in the background', async () => {
    const { vault, clock } = await open();
    for (let i = 0; i < 25; i++) vault.values.put('secret', `s${i}`, data);
    vault.renew({ purpose: 'secret' });
    clock.advance(61_000);
    await vault.upkeep(new AbortController().signal, (row) => expect.unreachable(row));
    expect(vault.keys().filter(({ purpose }) => purpose === 'secret')).toHaveLength(1);
  });

  test('leaves a damaged row and its key, and names the row', async () => {
    const { vault, database, clock } = await open();
    vault.values.put('secret', 'good', data);
    vault.values.put('secret', 'bad', data);
    database.exec(`UPDATE sealed_values SET sealed = CAST(sealed || x'00' AS BLOB) WHERE name = 'bad'`);
    vault.renew({ purpose: 'secret' });
    const last = [...vault.rotation.reseal()].at(-1);
    expect(last?.damaged).toStrictEqual(["What is sealed at secret secret/bad of system can't be opened."]);
    clock.advance(61_000);
    expect(vault.sweep()).toStrictEqual([]);
    expect(vault.values.get('secret', 'good')).toStrictEqual(data);
  });

  test('lets a retired key be destroyed, but for one that is active or that a row needs', async () => {
    const { vault } = await open();
    const sealed = vault.ring.seal(data, { ...context, purpose: 'message' });
    vault.values.put('secret', 's', data);
    vault.renew({});
    const idOf = (purpose: string, state: string): string =>
      vault.keys().find((key) => key.purpose === purpose && key.state === state)?.id ?? '';
    for (const id of ['', idOf('message', 'active'), idOf('secret', 'retired')]) {
      expect(vault.dropKey(id)).toBe(false);
    }
    expect(vault.dropKey(idOf('message', 'retired'))).toBe(true);
    expect(outcome(() => vault.ring.open(sealed, { ...context, purpose: 'message' }))).toMatch(/can't be opened/);
    expect(vault.values.get('secret', 's')).toStrictEqual(data);
  });

  test('of messages makes new public keys; the old ones open for a day', async () => {
    const { vault, clock } = await open();
    const before = vault.serverKeys.published().keys.map(({ kid }) => String(kid));
    expect(before).toHaveLength(2);
    clock.advance(1000);
    vault.renew({ purpose: 'message' });
    const after = vault.serverKeys.published().keys.map(({ kid }) => String(kid));
    expect(after.filter((kid) => before.includes(kid))).toStrictEqual([]);
    clock.advance(23 * hour);
    vault.sweep();
    expect(before.every((kid) => vault.serverKeys.find(kid) !== undefined)).toBe(true);
    clock.advance(2 * hour);
    vault.sweep();
    expect(before.some((kid) => vault.serverKeys.find(kid) !== undefined)).toBe(false);
    expect(after.every((kid) => vault.serverKeys.find(kid) !== undefined)).toBe(true);
  });
});

describe('a forgotten tenant', () => {
  test('has no key left in any file, and nothing of it opens', async () => {
    const { folder, vault, database, apiKeys } = await open();
    const other = await open(folder);
    const sealed = vault.ring.seal(data, context);
    other.vault.ring.open(sealed, context);
    apiKeys.insert(record);
    const wrapped = database.prepare(`SELECT wrapped FROM data_keys WHERE tenant = 'acme'`).all();
    expect(wrapped).toHaveLength(2);
    const isThere = (): boolean =>
      readdirSync(folder).some((name) => {
        const bytes = readFileSync(join(folder, name));
        return wrapped.some((row) => bytes.includes(row['wrapped'] as Uint8Array));
      });
    expect(isThere()).toBe(true);
    expect(vault.forgetTenant('acme').map(({ purpose }) => purpose)).toStrictEqual(['api-key', 'payload']);
    expect(vault.shred()).toBe(true);
    expect(isThere()).toBe(false);
    for (const each of [vault, other.vault]) {
      expect(() => each.ring.open(sealed, context)).toThrow(/can't be opened/);
    }
    expect(other.apiKeys.find(record.id)).toBe(undefined);
    // What comes later is under new keys.
    expect(vault.ring.open(vault.ring.seal(data, context), context)).toStrictEqual(data);
  });

  test('is not Mizan itself', async () => {
    const { vault } = await open();
    expect(() => vault.forgetTenant('system')).toThrow(/Mizan itself/);
    expect(vault.keys().length).toBeGreaterThan(0);
  });
});

describe('an API key in the database', () => {
  const edits = [
    `role = 'admin'`,
    `tenant = 'other'`,
    `agents = NULL`,
    `name = 'root'`,
    `hash = '${'e'.repeat(64)}'`,
    `expires_at = NULL`,
    `created_at = 2`,
    `id = '0123456789abcdee'`,
    `sealed = NULL`,
    `sealed = (SELECT sealed FROM api_keys WHERE id = 'ffffffffffffffff')`,
  ];

  test.each(edits)('is not believed after SET %s', async (edit) => {
    const { folder, database, apiKeys } = await open();
    apiKeys.insert(record);
    apiKeys.insert({ ...record, id: 'ffffffffffffffff' });
    expect(apiKeys.find(record.id)).toStrictEqual(record);
    database.exec(`UPDATE api_keys SET ${edit} WHERE id = '${record.id}'`);
    const damaged: string[] = [];
    const next = await open(folder);
    const keys = new SqliteApiKeys(next.database, {
      epoch: next.epoch,
      seal: next.vault.apiKeySeal,
      damaged: (error) => damaged.push(error.message),
    });
    const id = edit.startsWith('id') ? '0123456789abcdee' : record.id;
    expect(keys.find(id)).toBe(undefined);
    expect(keys.find(id)).toBe(undefined);
    expect(damaged).toStrictEqual([expect.stringContaining(`api-key ${id}`)]);
  });

  test('that was revoked stays so', async () => {
    const { folder, database, apiKeys } = await open();
    apiKeys.insert(record);
    expect(apiKeys.revoke(record.id, 5)).toBe(true);
    expect((await open(folder)).apiKeys.find(record.id)?.revokedAt).toBe(5);
    database.exec('UPDATE api_keys SET revoked_at = NULL');
    expect((await open(folder)).apiKeys.find(record.id)).toBe(undefined);
  });

  test('that was edited can be revoked, and does not become believable by it', async () => {
    const { folder, database, apiKeys } = await open();
    apiKeys.insert(record);
    database.exec(`UPDATE api_keys SET role = 'admin'`);
    expect(apiKeys.revoke(record.id, 5)).toBe(true);
    expect((await open(folder)).apiKeys.find(record.id)).toBe(undefined);
  });

  test('from before there were seals gets its seal once, and never again', async () => {
    const { folder, database, apiKeys } = await open();
    apiKeys.insert(record);
    database.exec(`UPDATE api_keys SET sealed = NULL; DELETE FROM data_keys;`);
    expect((await open(folder)).apiKeys.find(record.id)).toStrictEqual(record);
    const { id: _id, sealed: _sealed, ...rest } = database.prepare('SELECT * FROM api_keys').get() ?? {};
    const planted = { ...rest, id: 'a'.repeat(16), role: 'admin' };
    const names = Object.keys(planted);
    database
      .prepare(`INSERT INTO api_keys (${names.join()}) VALUES (${names.map((name) => `:${name}`).join()})`)
      .run(planted);
    expect((await open(folder)).apiKeys.find('a'.repeat(16))).toBe(undefined);
  });

  test('keeps its seal when a column is added that it has nothing in', async () => {
    const { folder, database, apiKeys } = await open();
    apiKeys.insert(record);
    database.exec('ALTER TABLE api_keys ADD COLUMN powers text');
    expect((await open(folder)).apiKeys.find(record.id)).toStrictEqual(record);
    database.exec(`UPDATE api_keys SET powers = '{}'`);
    expect((await open(folder)).apiKeys.find(record.id)).toBe(undefined);
  });
});
