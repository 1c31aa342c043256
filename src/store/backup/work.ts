import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../../core/errors.ts';
import { makeFolder } from '../../core/folder.ts';
import { Breather, unhurried } from '../breather.ts';
import type { OnProgress, Progress } from './contract.ts';

/** What must stay free beside everything that is written, in bytes. */
const reserve = 64 * 1024 * 1024;

/**
 * A folder in the data folder for what is being made, empty, and removed when `use` is done. What a killed run left in
 * it goes first: the caller holds a lock, so that nobody else is at work there.
 */
export async function withWork<T>(dataFolder: string, name: string, use: (work: string) => Promise<T>): Promise<T> {
  makeFolder(dataFolder);
  const work = join(dataFolder, name);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { mode: 0o700 });
  try {
    return await use(work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Steps that write a whole database: the system goes on taking what they wrote to the disk while they rest. */
const writing: ReadonlySet<Progress['step']> = new Set(['copying', 'verifying', 'downloading']);

/** Does what is told of step by step, and rests after each for as long as a Mizan on the same data is busy. */
export async function restingBetween<T>(
  { dataFolder, onProgress }: { readonly dataFolder: string; readonly onProgress: OnProgress },
  work: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const breather = new Breather(dataFolder, unhurried);
  try {
    return await work((progress) => {
      onProgress(progress);
      breather.rest(writing.has(progress.step) ? 2 : 1);
    });
  } finally {
    breather.close();
  }
}

/** @throws SetupError where the disk under `folder` has less free than `bytes` and some more. */
export function needSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= bytes + reserve) return;
  const mib = (count: number): string => `${Math.ceil(count / 2 ** 20)} MiB`;
  throw new SetupError(`${folder} has ${mib(free)} free, and this needs ${mib(bytes + reserve)}.`);
}
