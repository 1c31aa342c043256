import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { SetupError } from '../../core/errors.ts';
import { auditHeadFile } from './audit-chain.ts';
import { databaseFile, outboxFile } from './file.ts';

/** SQLite's result codes for a file that is damaged, and for one that never was a database. */
const damaged: ReadonlySet<number> = new Set([11, 26]);

/** A file that can't be opened for what is in it. */
export class DamagedDatabase extends SetupError {}

/** What can be done about a damaged database, in one sentence. */
export function remedyFor(file: string): string {
  if (basename(file) !== outboxFile) {
    return 'Stop Mizan and restore a backup: mizan backup list shows those there are, mizan backup restore NAME puts one in place. Where there is none, move it aside with the files that go with it, and with audit.key and audit.head: then all begins anew';
  }
  return (
    'Stop Mizan and move it aside with the files that go with it: the rest is in PostgreSQL, and is fetched from there; ' +
    'requests that had not been sent yet are in that file alone'
  );
}

/**
 * A database that is new although the folder is not: the audit log's head is of one that had entries. It was lost, and to
 * go on with an empty one would be to refuse every key, and to let backups of nothing take the place of good ones.
 * @param database `null` where there is no file.
 * @throws DamagedDatabase
 */
export function refuseLost(database: DatabaseSync | null, file: string): void {
  const head = join(dirname(file), auditHeadFile);
  if (basename(file) !== databaseFile || !existsSync(head)) return;
  const table = database?.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").get();
  if (table !== undefined) return;
  const lost = `The database ${file} has lost all that was in it: there is nothing in it, and ${head} is of one with entries`;
  throw new DamagedDatabase(`${lost}. ${remedyFor(file)}.`);
}

/** Whether SQLite says that a file is damaged, or no database. */
export function isDamage(error: Error): boolean {
  return 'errcode' in error && damaged.has(Number(error.errcode) & 0xff);
}

/** A line about the damage that an error tells of; the error itself where it tells of something else. */
export function explained(error: unknown, file: string): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (isDamage(cause)) {
      return new DamagedDatabase(`The database ${file} is damaged (${cause.message}). ${remedyFor(file)}.`);
    }
  }
  return error;
}
