import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { describe, expect, test, vi } from 'vitest';
import { mizan as command } from './support/command.ts';
import { commonOptions, furnish } from './support/mizan.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const config = { providers: { sim: { kind: 'simulator' } } };
const create = ['token', 'create'];

describe('a token that is made at the machine', () => {
  test('leaves in the audit log whom it is for and what it may do, and nothing that makes it a token', async () => {
    const house = await furnish(config);
    const options = commonOptions(house);
    const { stdout } = await command([...create, '--sub', 'recorded', '--tenant', 'acme', '--any-tenant', ...options]);
    const { jti, exp } = decodeJwt(stdout.trim());
    const { stdout: text } = await command(['audit', 'list', '--tenant', 'acme', '--json', ...options]);
    const entries = JSON.parse(text) as readonly { readonly action: string; readonly target: string }[];
    expect(entries.filter(({ action, target }) => action === 'token.create' && target === `jti:${jti}`)).toMatchObject([
      {
        actor: 'operator',
        after: {
          jti,
          sub: 'recorded',
          tenant: 'acme',
          any_tenant: true,
          role: 'member',
          agents: null,
          models: null,
          expires_at: new Date(exp! * 1000).toISOString(),
        },
      },
    ]);
    expect(text).not.toContain(stdout.trim().split('.')[2]);
    await house.remove();
  });

  test('is made where no entry can be: whoever has the secret could make it anyway', async () => {
    const house = await furnish(config);
    await mkdir(house.dataFolder);
    await writeFile(join(house.dataFolder, 'mizan.db'), 'this is no database, and long enough to be seen as none');
    const { code, stdout, stderr } = await command([...create, ...commonOptions(house)]);
    expect([code, stdout.split('.')]).toEqual([0, [expect.any(String), expect.any(String), expect.any(String)]]);
    expect(stderr).toMatch(/^The audit log could not be written: /);
    await house.remove();
  });
});
