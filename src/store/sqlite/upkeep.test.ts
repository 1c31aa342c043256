import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';
import { findDamage } from './soundness.ts';
import { sumsRestMs } from './upkeep.ts';
import { Troubles } from './troubles.ts';

const events = { failed() {}, recovered() {}, dropped() {} };

test('damage in the middle of the file is found, and a sound file is sound', async () => {
  const folder = temporaryFolder();
  const file = join(folder, databaseFile);
  const store = await openStore(folder, { events });
  await Promise.all(Array.from({ length: 2000 }, (_, i) => store.requestLog.append(requestRecord({ id: `req_${i}` }))));
  await store.close();
  expect(await findDamage(file)).toBe(null);
  const bytes = readFileSync(file);
  const middle = Math.floor(statSync(file).size / 4096 / 2) * 4096;
  bytes.fill(0xff, middle, middle + 4096);
  writeFileSync(file, bytes);
  expect(await findDamage(file)).not.toBe(null);
});

test('troubles are told until they have passed, each by itself', () => {
  const troubles = new Troubles();
  const told: string[] = [];
  const watched = troubles.watching({ ...events, failed: () => told.push('failed') });
  expect(troubles.words).toBe(null);
  watched.failed(new Error('disk full'));
  troubles.note('damage', 'The database is damaged', new Error('page 7'));
  expect(troubles.words).toBe("The database can't be written: disk full; The database is damaged: page 7");
  watched.recovered();
  expect(troubles.words).toBe('The database is damaged: page 7');
  troubles.passed('damage');
  expect(troubles.words).toBe(null);
  expect(told).toStrictEqual(['failed']);
});

test('the more came in a minute, the longer its sums rest, half a minute at the most', () => {
  expect([0, 1000, 40_000].map(sumsRestMs)).toEqual([2000, 2000, 2000]);
  expect([100_000, 600_000, 6_000_000].map(sumsRestMs)).toEqual([5000, 30_000, 30_000]);
});
