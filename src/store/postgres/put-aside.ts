import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { holdDataAlone } from '../folder-lock.ts';
import { outboxFile } from '../sqlite/file.ts';
import { swap } from '../swap.ts';

/**
 * Puts a damaged outbox aside, with the files that go with it.
 * @returns Its new name in the folder; `null` where it stays, since others use the folder.
 */
export function putAside(folder: string): string | null {
  try {
    const alone = holdDataAlone(folder);
    try {
      const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
      const aside = `damaged-${time}Z`;
      const files = ['', '-wal', '-shm'].map((end) => `${outboxFile}${end}`);
      const there = files.filter((name) => existsSync(join(folder, name)));
      swap(
        folder,
        there.map((name) => [name, join(aside, name)] as const),
      );
      return join(aside, outboxFile);
    } finally {
      alone.release();
    }
  } catch {
    // Then the file is said to be damaged, and left where it is.
    return null;
  }
}
