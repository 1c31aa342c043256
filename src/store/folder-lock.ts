import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MizanError, SetupError } from '../core/errors.ts';
import { makeFolder } from '../core/folder.ts';
import { isBusy } from './sqlite/database.ts';
import { headless, putHeadOn } from './sqlite/headless.ts';
import { finishSwap, isSwapping } from './swap.ts';

/** Something held until it is given back, or until the process ends in whatever way. */
export interface Hold {
  release(): void;
}

/**
 * Says to others that the data in `folder` is in use. Any number may hold it at once, but none beside one who has it
 * to himself. What a killed restore or a crash of the machine left half-way is put in order first.
 * @throws SetupError where it is being restored just now, or the folder can't be used.
 */
export function holdData(folder: string): Hold {
  try {
    makeFolder(folder);
    if (isSwapping(folder) || headless(folder).length > 0) {
      const alone = lock(folder, { name: dataLock, isExclusive: true, waitMs: 5000 });
      try {
        if (alone !== null) putInOrder(folder);
      } finally {
        alone?.release();
      }
    }
    const hold = lock(folder, { name: dataLock, isExclusive: false, waitMs: 5000 });
    if (hold !== null) return hold;
  } catch (cause) {
    throw new SetupError(`The data folder ${folder} can't be used`, cause);
  }
  throw new SetupError(`The data in ${folder} is being restored from a backup; try again when that is over.`);
}

/**
 * Has the data in `folder` to itself. What a killed restore left half-way is finished first.
 * @throws MizanError `backup_running` where anybody uses it.
 */
export function holdDataAlone(folder: string): Hold {
  const hold = lock(folder, { name: dataLock, isExclusive: true, waitMs: 0 });
  if (hold === null) {
    throw new MizanError('backup_running', `A Mizan runs on ${folder}, or a command uses it. Stop it first.`);
  }
  putInOrder(folder);
  return hold;
}

/** Finishes what a killed restore or a crash of the machine left half-way. The caller has the folder to himself. */
function putInOrder(folder: string): void {
  finishSwap(folder);
  for (const file of headless(folder)) putHeadOn(file);
}

/**
 * Only one makes backups of the data in `folder`.
 * @throws MizanError `backup_running` where another does.
 */
export function holdBackups(folder: string): Hold {
  makeFolder(folder);
  const hold = lock(folder, { name: 'backup.lock', isExclusive: true, waitMs: 0 });
  if (hold === null) throw new MizanError('backup_running', 'Another backup of this data is being made.');
  return hold;
}

const dataLock = 'mizan.lock';

/** As many places as processes that answer requests can have on one folder; more of them are not counted. */
const gatewayPlaces = 64;

const gatewayLock = (place: number): string => `gateway-${place}.lock`;

/** Says that this process answers requests on the data in `folder`; `null` where too many do to be counted. */
export function holdGateway(folder: string): Hold | null {
  makeFolder(folder);
  for (let place = 0; place < gatewayPlaces; place++) {
    const hold = lock(folder, { name: gatewayLock(place), isExclusive: true, waitMs: 0 });
    if (hold !== null) return hold;
  }
  return null;
}

/** How many processes answer requests on the data in `folder`. */
export function countGateways(folder: string): number {
  let count = 0;
  for (let place = 0; place < gatewayPlaces && existsSync(join(folder, gatewayLock(place))); place++) {
    // Whoever looks shares the lock: two who look don't take each other for gateways.
    const hold = lock(folder, { name: gatewayLock(place), isExclusive: false, waitMs: 0 });
    if (hold === null) count++;
    else hold.release();
  }
  return count;
}

/**
 * The lock of an empty SQLite database: Node has no locks of files of its own, and these the system lets go of when
 * their process ends, however it ends.
 */
function lock(
  folder: string,
  how: { readonly name: string; readonly isExclusive: boolean; readonly waitMs: number },
): Hold | null {
  const database = new DatabaseSync(join(folder, how.name), { timeout: how.waitMs });
  try {
    database.exec(how.isExclusive ? 'BEGIN EXCLUSIVE' : 'BEGIN');
    // A transaction that only begins locks nothing yet.
    if (!how.isExclusive) database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return { release: () => database.close() };
  } catch (error) {
    database.close();
    if (isBusy(error)) return null;
    throw error;
  }
}
