import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import { holdData, holdDataAlone } from './folder-lock.ts';
import type { Renames } from './swap.ts';
import { finishSwap, isSwapping, swap } from './swap.ts';

const renames: Renames = [
  ['db', 'before/db'],
  ['db-wal', 'before/db-wal'],
  ['db.restored', 'db'],
];

function furnished(): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'db'), 'old');
  writeFileSync(join(folder, 'db-wal'), 'old log');
  writeFileSync(join(folder, 'db.restored'), 'new');
  return folder;
}

function expectNew(folder: string): void {
  expect(readFileSync(join(folder, 'db'), 'utf8')).toBe('new');
  expect(readFileSync(join(folder, 'before/db'), 'utf8')).toBe('old');
  expect(readFileSync(join(folder, 'before/db-wal'), 'utf8')).toBe('old log');
  expect(existsSync(join(folder, 'db-wal'))).toBe(false);
  expect(isSwapping(folder)).toBe(false);
}

test('files take the place of others, which are kept', () => {
  const folder = furnished();
  swap(folder, renames);
  expectNew(folder);
  expect(readdirSync(folder).toSorted()).toEqual(['before', 'db']);
});

describe('a swap that was killed', () => {
  test.each([
    [0, 'opens the data', holdData],
    [1, 'opens the data', holdData],
    [2, 'restores', holdDataAlone],
    [3, 'restores', holdDataAlone],
  ] as const)('after %i renames is finished by the next who %s', (done, _, hold) => {
    const folder = furnished();
    for (const [from, to] of renames.slice(0, done)) {
      mkdirSync(dirname(join(folder, to)), { recursive: true });
      renameSync(join(folder, from), join(folder, to));
    }
    writeFileSync(join(folder, 'restore.json'), JSON.stringify(renames));
    expect(isSwapping(folder)).toBe(true);
    hold(folder).release();
    expectNew(folder);
  });

  test('before it was written down whole has not begun', () => {
    const folder = furnished();
    writeFileSync(join(folder, 'restore.json.new'), '[["db","bef');
    finishSwap(folder);
    expect(readFileSync(join(folder, 'db'), 'utf8')).toBe('old');
  });
});
