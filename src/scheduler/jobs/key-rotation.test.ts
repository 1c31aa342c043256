import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { StoredJob } from '../../core/jobs.ts';
import { keyIdOf } from '../../security/envelope.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import { openStore } from '../../store/index.ts';
import type { JobContext } from '../contract.ts';
import { keyRotation } from './key-rotation.ts';

test('new data keys take the place of those that sealed so far, of one purpose where one is named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-rotation-'));
  const store = await openStore({ folder, url: null, masterKeys: new MasterKeys(noMasterKeySettings, folder) });
  onTestFinished(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const { ring } = store.vault;
  const secret = { tenant: 'acme', purpose: 'secret', row: 'x' } as const;
  const payload = { tenant: 'acme', purpose: 'payload', row: 'x' } as const;
  const data = Buffer.from('word');
  const sealed = { secret: ring.seal(data, secret), payload: ring.seal(data, payload) };
  const said: string[] = [];
  const run = (settings: StoredJob['settings']): Promise<unknown> =>
    keyRotation({ rotate: (purpose) => store.vault.renew({ purpose }) }).run({
      job: { settings } as StoredJob,
      say: (line: string) => void said.push(line),
      confirm: async () => {},
    } as unknown as JobContext);
  expect(await run({ purpose: 'secret' })).toMatchObject({ keys: expect.any(Number) as number });
  expect(keyIdOf(ring.seal(data, secret))).not.toBe(keyIdOf(sealed.secret));
  expect(keyIdOf(ring.seal(data, payload))).toBe(keyIdOf(sealed.payload));
  await run({});
  expect(keyIdOf(ring.seal(data, payload))).not.toBe(keyIdOf(sealed.payload));
  for (const [of, context] of [
    [sealed.secret, secret],
    [sealed.payload, payload],
  ] as const) {
    expect(ring.open(of, context).toString()).toBe('word');
  }
  expect(said[0]).toMatch(/^\d+ data keys are new/);
});

test('only purposes that there are can be named', () => {
  const { check } = keyRotation({ rotate: () => 0 });
  const origin = { tenant: 'system' };
  expect(check({ purpose: 'payload' }, origin)).toEqual({ purpose: 'payload' });
  expect(() => check({ purpose: 'nonsense' }, origin)).toThrow('purpose must be a purpose of data keys: secret,');
});
