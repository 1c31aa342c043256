import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** From how long on a write-ahead log is one that doesn't get shorter by itself, in bytes. */
const longBytes = 64 * 1024 * 1024;

/** How often it is looked, in ms. */
const everyMs = 500;

/**
 * Whether the write-ahead log of `database` is long and can't begin anew, since somebody reads what was before it: a
 * backup, for as long as it copies. Whatever is written then makes it longer still.
 */
export function logIsHeldUp(database: DatabaseSync, now: () => number = () => performance.now()): () => boolean {
  const file = `${database.location() ?? ''}-wal`;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let isHeldUp = false;
  return () => {
    if (now() - lookedAt < everyMs) return isHeldUp;
    lookedAt = now();
    const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 };
    isHeldUp = size > longBytes && !isMoved(database);
    return isHeldUp;
  };
}

/** Moves what may be moved into the database. @returns Whether that was all there is. */
function isMoved(database: DatabaseSync): boolean {
  const row = database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
  return row?.['log'] === row?.['checkpointed'];
}
