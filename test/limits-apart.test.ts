import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { mizan as command } from './support/command.ts';
import { ask } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';
import { ownPostgres } from './support/postgres.ts';

vi.setConfig({ testTimeout: 240_000 });

const told = async ({ url }: Running): Promise<unknown> =>
  ((await ask(`${url}/readyz`)).json as { degraded?: unknown }).degraded;

test.each(['SQLite', 'PostgreSQL'])(
  'limits that several processes on one %s count each for itself are told of, and those of one are not',
  async (engine) => {
    const postgres = engine === 'PostgreSQL' ? await ownPostgres() : null;
    onTestFinished(() => postgres?.end());
    const config = {
      auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
      database: { url: (await postgres?.newDatabase()) ?? '' },
      providers: { sim: { kind: 'simulator' } },
      models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
      limits: { all: { rpm: 1000 } },
    };
    const house = await furnish(config);
    const first = await startProcess(config, house);
    onTestFinished(() => first.end());
    const looked = async (): Promise<string> => {
      const { stdout } = await command(['doctor', ...commonOptions(first)]);
      return /^.* limits: .*$/m.exec(stdout)?.[0] ?? '';
    };
    expect(await looked()).toMatch(/^ok   limits: counted by one process/);
    expect(await told(first)).toBeUndefined();
    const other = await startProcess(
      config,
      postgres === null ? { ...house, remove: async () => {} } : await sameKey(first, config),
    );
    onTestFinished(() => other.end());
    const apart = { limits: 'counted by each process' };
    await vi.waitFor(async () => expect([await told(first), await told(other)]).toEqual([apart, apart]), 40_000);
    expect(await looked()).toMatch(/^FAIL limits: 2 gateways are on this database without Redis/);
    await other.end();
    await vi.waitFor(async () => expect(await told(first)).toBeUndefined(), 40_000);
    expect(await looked()).toMatch(/^ok   limits: /);
  },
);

/** A data folder of its own, whose master key opens the same database. */
async function sameKey({ dataFolder }: Running, config: object): ReturnType<typeof furnish> {
  const house = await furnish(config);
  await mkdir(house.dataFolder, { recursive: true });
  await copyFile(join(dataFolder, 'master.key'), join(house.dataFolder, 'master.key'));
  return house;
}
