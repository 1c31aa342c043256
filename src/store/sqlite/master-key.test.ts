import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { SetupError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';
import { context, data, open, outcome } from './vault.suite.ts';

const newKey = (): Secret<string> => new Secret(randomBytes(32).toString('base64'));

describe('the master key', () => {
  test('is made at first, for its owner only', async () => {
    const { folder } = await open();
    expect(statSync(join(folder, 'master.key')).mode & 0o777).toBe(0o600);
  });

  test('that is the wrong one, or gone, is refused before anything is touched', async () => {
    const { folder, vault, database } = await open();
    vault.values.put('secret', 's', data);
    database.close();
    const before = readFileSync(join(folder, databaseFile));
    await expect(open(folder, { key: newKey() })).rejects.toThrow(
      /not the right one: .* sealed under [0-9a-f]{16}, and/,
    );
    rmSync(join(folder, 'master.key'));
    await expect(open(folder)).rejects.toThrow(/master\.key is gone/);
    await expect(openStore(folder, { events: { failed() {}, recovered() {}, dropped() {} } })).rejects.toThrow(
      SetupError,
    );
    expect(existsSync(join(folder, 'master.key'))).toBe(false);
    expect(readFileSync(join(folder, databaseFile)).equals(before)).toBe(true);
  });

  test('in a file is replaced beside a running Mizan, which goes on', async () => {
    const running = await open();
    running.vault.values.put('secret', 's', data);
    const there = await open(running.folder);
    const old = readFileSync(join(running.folder, 'master.key'), 'utf8');
    expect(there.vault.rotateMaster()).toBe(2);
    expect(readFileSync(join(running.folder, 'master.key'), 'utf8')).not.toBe(old);
    expect(readdirSync(running.folder).filter((name) => name.startsWith('master.key'))).toStrictEqual(['master.key']);
    expect(running.vault.values.get('secret', 's')).toStrictEqual(data);
    running.vault.ring.renew('acme', 'payload');
    const sealed = running.vault.ring.seal(data, context);
    const next = await open(running.folder);
    expect(next.vault.ring.open(sealed, context)).toStrictEqual(data);
    expect(new Set(next.vault.keys().map(({ master }) => master)).size).toBe(1);
  });

  test('whose replacing was broken off is replaced at the next start', async () => {
    const { folder, vault, masters, database } = await open();
    vault.values.put('secret', 's', data);
    masters.replaceFile();
    database.close();
    expect(existsSync(join(folder, 'master.key.previous'))).toBe(true);
    const next = await open(folder);
    expect(next.vault.values.get('secret', 's')).toStrictEqual(data);
    expect(existsSync(join(folder, 'master.key.previous'))).toBe(false);
    rmSync(join(folder, 'master.key.previous'), { force: true });
    expect((await open(folder)).vault.values.get('secret', 's')).toStrictEqual(data);
  });

  test('from the environment takes over with the previous one beside it', async () => {
    const [first, second] = [newKey(), newKey()];
    const { folder, vault } = await open(undefined, { key: first });
    vault.values.put('secret', 's', data);
    await expect(open(folder, { key: second })).rejects.toThrow(/not the right one/);
    const both = await open(folder, { key: second, previous: first });
    expect(both.vault.values.get('secret', 's')).toStrictEqual(data);
    expect((await open(folder, { key: second })).vault.values.get('secret', 's')).toStrictEqual(data);
    // The process that only has the old one can't wrap anything for the others to trip over.
    expect(outcome(() => vault.ring.seal(data, context))).toMatch(/no key for payload of acme/);
    expect(existsSync(join(folder, 'master.key'))).toBe(false);
  });

  test('is what a command prints', async () => {
    const printed = newKey();
    const command = [process.execPath, '-e', `console.log(${JSON.stringify(printed.reveal())})`];
    const { folder, vault } = await open(undefined, { command });
    vault.values.put('secret', 's', data);
    expect((await open(folder, { key: printed })).vault.values.get('secret', 's')).toStrictEqual(data);
    const failing = [process.execPath, '-e', `console.log('sesame'); process.exit(3)`];
    await expect(open(folder, { command: failing })).rejects.toThrow(/command .* failed: it ended with 3$/);
    await expect(open(folder, { command: ['/no/such/program'] })).rejects.toThrow(/failed: ENOENT$/);
    await expect(open(folder, { command: [process.execPath, '-e', `console.log('sesame')`] })).rejects.toThrow(
      /prints is not 32 bytes in base64 or hex; "openssl rand -base64 32" makes some\.$/,
    );
  });

  test('and a data key that was moved, renamed or damaged do not go together', async () => {
    const { folder, vault, database } = await open();
    const sealed = vault.ring.seal(data, context);
    for (const edit of [`purpose = 'cache'`, `tenant = 'other'`, `wrapped = zeroblob(60)`]) {
      const copy = temporaryFolder();
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      for (const name of ['master.key', databaseFile]) copyFileSync(join(folder, name), join(copy, name));
      const next = await open(copy);
      next.database.exec(`UPDATE data_keys SET ${edit} WHERE purpose = 'payload'`);
      const key = next.vault.keys().find(({ purpose, tenant }) => purpose !== 'api-key' && tenant !== 'system');
      const moved = { ...context, tenant: key?.tenant ?? '', purpose: key?.purpose ?? 'payload' };
      expect(() => next.vault.ring.open(sealed, moved)).toThrow(/can't be unwrapped/);
    }
  });
});
