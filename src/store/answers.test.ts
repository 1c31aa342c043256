import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import { requestRecord } from '../../test/support/records.ts';
import { newRequestId } from '../core/ids.ts';
import { Answers } from './answers.ts';
import { openStore } from './index.ts';
import { kyselyOver } from './sqlite/connection.ts';

interface Shown {
  readonly as_of: string;
  readonly total: { readonly requests: number };
}

test('an overview is given again for two seconds, to those who asked for the very same', async () => {
  const folder = temporaryFolder();
  const store = await openStore({ folder, url: null });
  onTestFinished(() => store.close());
  const database = new DatabaseSync(join(folder, 'mizan.db'), { readOnly: true });
  onTestFinished(() => database.close());
  let now = 0;
  const answers = new Answers(kyselyOver(database), { now: () => now });
  const time = Date.now();
  const query = { from: time - 1000, to: time + 1000 };
  const asked = async (tenant: string | null, more: object = {}): Promise<Shown> =>
    JSON.parse(await answers.overview(tenant, { ...query, ...more })) as Shown;
  const more = async (): Promise<void> => {
    await store.requestLog.append(requestRecord({ id: newRequestId(time), time, tenant: 'acme', agent: 'assistant' }));
    await store.settled();
    await store.overview('acme', query);
  };

  await more();
  const first = await asked('acme');
  expect(first.total.requests).toBe(1);
  expect(Math.abs(Date.parse(first.as_of) - Date.now())).toBeLessThan(60_000);
  await more();
  now += 1999;
  expect(await asked('acme')).toEqual(first);
  // The time is that of whole steps, so that "now" may go on by some milliseconds.
  expect(await asked('acme', { to: query.to + 1 })).toEqual(first);
  expect((await asked('other')).total.requests).toBe(0);
  expect((await asked(null)).total.requests).toBe(2);
  expect((await asked('acme', { agent: 'nobody' })).total.requests).toBe(0);
  expect((await asked('acme', { agent: 'assistant' })).total.requests).toBe(2);
  now += 1;
  expect((await asked('acme')).total.requests).toBe(2);
});
