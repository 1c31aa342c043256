import { existsSync } from 'node:fs';
import { MizanError } from '../../core/errors.ts';
import type { BackupTarget, OnProgress } from './contract.ts';
import { withWork } from './work.ts';

/**
 * Gives `use` the file of a backup that is named by its path or as it is listed; from a bucket it is fetched first.
 * @throws MizanError `not_found` where there is neither.
 */
export async function withBackupFile<T>(
  place: {
    readonly given: string;
    readonly targets: readonly BackupTarget[];
    readonly dataFolder: string;
    readonly onProgress: OnProgress;
  },
  use: (file: string) => Promise<T>,
): Promise<T> {
  const { given, targets, dataFolder, onProgress } = place;
  if (existsSync(given)) return use(given);
  for (const target of targets) {
    const isThere = (await target.list()).some(({ name }) => name === given);
    if (!isThere) continue;
    if (target.kind === 'folder') return use(await target.bring(given, dataFolder, onProgress));
    return withWork(dataFolder, `fetched-${process.pid}`, async (work) =>
      use(await target.bring(given, work, onProgress)),
    );
  }
  const places = targets.map(({ label }) => label).join(' and ');
  throw new MizanError('not_found', `There is no file ${given}, and no backup of that name in ${places}.`);
}
