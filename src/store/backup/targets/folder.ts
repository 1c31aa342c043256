import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MizanError } from '../../../core/errors.ts';
import { makeFolder } from '../../../core/folder.ts';
import { syncFolder } from '../../swap.ts';
import type { BackupTarget, StoredBackup } from '../contract.ts';
import { newestFirst, timeOfName } from '../name.ts';

/** What is written before it has its name. No listing shows it. */
const draftPattern = /^\.mizan-.*\.backup\.partial$/;

/** A folder for the backups of one Mizan. It is made with the first. */
export function folderTarget(path: string): BackupTarget {
  const folder = resolve(path);
  const draftOf = (name: string): string => join(folder, `.${name}.partial`);
  return {
    label: folder,
    kind: 'folder',
    async list() {
      if (!existsSync(folder)) return [];
      return readdirSync(folder)
        .flatMap((name) => storedBackup(folder, name))
        .toSorted(newestFirst);
    },
    async draft(name) {
      makeFolder(folder);
      for (const old of readdirSync(folder)) if (draftPattern.test(old)) rmSync(join(folder, old));
      return draftOf(name);
    },
    async keep(file, name) {
      const place = join(folder, name);
      if (dirname(file) !== folder) throw new MizanError('internal', 'A draft lies in another folder.');
      renameSync(file, place);
      syncFolder(folder);
      return place;
    },
    bring: async (name) => join(folder, name),
    async remove(name) {
      rmSync(join(folder, name), { force: true });
    },
  };
}

function storedBackup(folder: string, name: string): StoredBackup[] {
  const createdAt = timeOfName(name);
  if (createdAt === undefined) return [];
  const stats = statSync(join(folder, name), { throwIfNoEntry: false });
  return stats?.isFile() === true ? [{ name, createdAt, bytes: stats.size }] : [];
}
