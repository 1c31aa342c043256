import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { makeFolder } from '../core/folder.ts';

/**
 * Files that take the place of others, all or none. What is to be renamed is written down first; from then on it is
 * done, by this process or by the next that opens the data.
 */

/** From and to, relative to the folder. */
export type Renames = readonly (readonly [from: string, to: string])[];

const journalName = 'restore.json';
const journalSchema = z.array(z.tuple([z.string(), z.string()]));

/** Renames in order. Every `from` is there and no `to` is, or comes to be free by a rename before it. */
export function swap(folder: string, renames: Renames): void {
  const journal = join(folder, journalName);
  const written = `${journal}.new`;
  writeFileSync(written, JSON.stringify(renames), { mode: 0o600, flush: true });
  renameSync(written, journal);
  syncFolder(folder);
  finishSwap(folder);
}

/** Whether a swap was begun and not finished. */
export function isSwapping(folder: string): boolean {
  return existsSync(join(folder, journalName));
}

/** Does what is left to do. A rename that has been done is known by its `to`. */
export function finishSwap(folder: string): void {
  const journal = join(folder, journalName);
  if (!existsSync(journal)) return;
  const renames = journalSchema.parse(JSON.parse(readFileSync(journal, 'utf8')));
  for (const [from, to] of renames) {
    const [source, target] = [join(folder, from), join(folder, to)];
    makeFolder(dirname(target));
    if (!existsSync(source) || existsSync(target)) continue;
    renameSync(source, target);
    syncFolder(dirname(target));
    syncFolder(dirname(source));
  }
  rmSync(journal);
  syncFolder(folder);
}

/** Makes what was renamed in a folder last through a power cut. */
export function syncFolder(folder: string): void {
  syncFile(folder);
}

/** Makes what a file holds last through a power cut. */
export function syncFile(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
