import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import type { Rests } from './breather.ts';
import { Breather, unhurried, withoutHaste } from './breather.ts';
import { databaseFile, outboxFile } from './sqlite/file.ts';

function breatherIn(folder: string, kind: Rests = withoutHaste) {
  const rests: number[] = [];
  let now = 0;
  const breather = new Breather(folder, kind, {
    now: () => now,
    pause(ms) {
      rests.push(ms);
      now += ms;
    },
  });
  onTestFinished(() => breather.close());
  return {
    rests,
    /** Work that takes so long, and the rest after it, if any. */
    work(ms: number, times?: number): void {
      now += ms;
      breather.rest(times);
    },
  };
}

function database(folder: string, name: string): () => void {
  const writer = new DatabaseSync(join(folder, name));
  onTestFinished(() => writer.close());
  writer.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (x)');
  return () => writer.exec('INSERT INTO t VALUES (1)');
}

for (const name of [databaseFile, outboxFile]) {
  test(`work rests in proportion for as long as somebody commits to ${name}, and not a second longer`, () => {
    const folder = temporaryFolder();
    const commit = database(folder, name);
    const { rests, work } = breatherIn(folder);
    for (let i = 0; i < 100; i++) work(5);
    expect(rests).toEqual([]);
    commit();
    for (let i = 0; i < 20; i++) work(5);
    expect(rests).toEqual(Array.from({ length: 20 }, () => 10));
    commit();
    // However long a step was, nobody who watches thinks that it hangs.
    work(500);
    expect(rests.at(-1)).toBe(50);
    work(1000);
    const { length } = rests;
    for (let i = 0; i < 100; i++) work(5);
    expect(rests).toHaveLength(length);
  });
}

test('what nobody waits for rests longer, but no longer than the time that a job has', () => {
  const folder = temporaryFolder();
  const commit = database(folder, databaseFile);
  const { rests, work } = breatherIn(folder, unhurried);
  const worked = 400_000;
  for (let step = 0; step < worked / 8; step++) {
    if (step % 15 === 0) commit();
    work(8);
  }
  expect([rests[100], rests.at(-1)]).toEqual([48, 8]);
  const rested = rests.reduce((sum, ms) => sum + ms, 0);
  expect(worked + rested).toBeLessThan(3_600_000);
  expect(rested).toBeGreaterThan(1_500_000);
});

test('rests come after a fraction of a millisecond already, and are longer where the caller says so', () => {
  const folder = temporaryFolder();
  const commit = database(folder, databaseFile);
  const { rests, work } = breatherIn(folder);
  commit();
  work(101);
  rests.length = 0;
  work(0.25);
  for (let i = 0; i < 10; i++) work(0.125);
  work(1, 2);
  expect(rests).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 4]);
});

test('where there is no database nobody is waited for', () => {
  const { rests, work } = breatherIn(temporaryFolder());
  for (let i = 0; i < 100; i++) work(5);
  expect(rests).toEqual([]);
});
