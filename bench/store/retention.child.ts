/**
 * Removes old rows, all but those of the last day, for as long as it is told to: `go` and `stop` on stdin, and after each
 * `stop` a line on stdout with how many rows went. A process that is stopped in the middle of a transaction would hold
 * everybody up, which is not what is measured.
 *
 * Before, it removes as fast as it goes until there is so much room that it is given back as well: then it says a line.
 */
import type { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
import { openDatabase } from '../../src/store/sqlite/database.ts';
import { asFastAsItGoes } from '../../src/store/sqlite/removal-pace.ts';
import type { RemovalOptions } from '../../src/store/sqlite/removal.ts';
import { removeOld } from '../../src/store/sqlite/retention.ts';

const [file = ''] = process.argv.slice(2);
const database: DatabaseSync = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
// As Mizan's own thread does.
database.exec('PRAGMA wal_autocheckpoint = 20000');
const state = { isGoing: false };

async function remove(options: RemovalOptions): Promise<number> {
  const { requests } = await removeOld(database, { log: 1, payloads: 1, rollups: 10_000 }, Date.now(), options);
  return requests;
}

const pragma = (name: string): number => Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
const isFull = (): boolean => pragma('freelist_count') < pragma('page_count') / 64;
let first = 0;
if (isFull()) first = await remove({ isStopped: () => !isFull(), rules: asFastAsItGoes });
process.stdout.write(`${first} rows removed before\n`);

let working: Promise<number> = Promise.resolve(0);
for await (const line of createInterface({ input: process.stdin })) {
  state.isGoing = line === 'go';
  if (state.isGoing) working = remove({ isStopped: () => !state.isGoing });
  else process.stdout.write(`${await working}\n`);
}
database.close();
