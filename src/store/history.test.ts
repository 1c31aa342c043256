import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import { requestRecord } from '../../test/support/records.ts';
import { newRequestId } from '../core/ids.ts';
import { KyselyRequestHistory } from './history.ts';
import { openStore } from './index.ts';
import { kyselyOver } from './sqlite/connection.ts';

test('a question that takes too long is refused with what to do, and others are answered', async () => {
  const folder = temporaryFolder();
  const store = await openStore({ folder, url: null });
  for (let i = 0; i < 1200; i++) void store.requestLog.append(requestRecord({ id: newRequestId(Date.now()) }));
  await store.close();
  const database = new DatabaseSync(join(folder, 'mizan.db'));
  onTestFinished(() => database.close());
  const history = new KyselyRequestHistory(kyselyOver(database), { limitMs: -1 });
  const tag = { name: 'x', value: 'y' };
  const refusal: unknown = await history.list('acme', { limit: 10, tag }).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'query_too_costly', status: 400, param: 'from' });
  expect((refusal as Error).message).toMatch(/Narrow it with from and to/);
  const patient = new KyselyRequestHistory(kyselyOver(database));
  expect(await patient.list('acme', { limit: 10, tag })).toEqual([]);
  expect(await patient.list('acme', { limit: 10 })).toHaveLength(10);
});
