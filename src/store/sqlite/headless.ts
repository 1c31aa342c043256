import { closeSync, existsSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { databaseFile, outboxFile } from './file.ts';

/** The head of a write-ahead log, and of each page in it, in bytes. See https://www.sqlite.org/fileformat2.html#walformat */
const log = { head: 32, frame: 24, magic: 0x377f0682 };

/**
 * The databases in `folder` that are empty or gone while their write-ahead log has pages, as a crash of the whole
 * machine can leave them: SQLite would take them for new, and remove the log.
 */
export function headless(folder: string): string[] {
  return [databaseFile, outboxFile].map((name) => join(folder, name)).filter((file) => pageSizeOf(file) !== null);
}

/**
 * Gives such a file room for a first page, so that SQLite puts in place what the log has: of a young database that is
 * all there is. The caller has the folder to itself.
 */
export function putHeadOn(file: string): void {
  const bytes = pageSizeOf(file);
  if (bytes === null) return;
  const descriptor = openSync(file, 'a', 0o644);
  try {
    writeSync(descriptor, Buffer.alloc(bytes));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Of the log of a database that is empty; `null` of any other. */
function pageSizeOf(file: string): number | null {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0 || !existsSync(`${file}-wal`)) return null;
  const head = Buffer.alloc(log.head);
  const descriptor = openSync(`${file}-wal`, 'r');
  try {
    if (readSync(descriptor, head) < log.head) return null;
  } finally {
    closeSync(descriptor);
  }
  // The last bit of the first number says in which order the bytes of the checksums are.
  const size = head.readUInt32BE(8) === 1 ? 65_536 : head.readUInt32BE(8);
  const isLog = (head.readUInt32BE(0) & ~1) >>> 0 === log.magic && size >= 512 && Number.isInteger(Math.log2(size));
  return isLog && statSync(`${file}-wal`).size >= log.head + log.frame + size ? size : null;
}
