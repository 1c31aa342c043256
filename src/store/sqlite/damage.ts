import { basename } from 'node:path';
import { SetupError } from '../../core/errors.ts';
import { outboxFile } from './file.ts';

/** SQLite's result codes for a file that is damaged, and for one that never was a database. */
const damaged: ReadonlySet<number> = new Set([11, 26]);

/** A file that can't be opened for what is in it. */
export class DamagedDatabase extends SetupError {}

/** What can be done about a damaged database, in one sentence. */
export function remedyFor(file: string): string {
  if (basename(file) !== outboxFile) {
    return 'Stop Mizan and restore a backup: mizan backup list shows those there are, mizan backup restore NAME puts one in place';
  }
  return (
    'Stop Mizan and move it aside with the files that go with it: the rest is in PostgreSQL, and is fetched from there; ' +
    'requests that had not been sent yet are in that file alone'
  );
}

/** A line about the damage that an error tells of; the error itself where it tells of something else. */
export function explained(error: unknown, file: string): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('errcode' in cause && damaged.has(Number(cause.errcode) & 0xff)) {
      return new DamagedDatabase(`The database ${file} is damaged (${cause.message}). ${remedyFor(file)}.`);
    }
  }
  return error;
}
