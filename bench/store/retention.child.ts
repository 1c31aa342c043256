/**
 * Removes old rows for as long as it is told to: `go` and `stop` on stdin, a line on stdout for each slice. A process that
 * is stopped in the middle of a transaction would hold everybody up, which is not what is measured.
 */
import type { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
import { openDatabase } from '../../src/store/sqlite/database.ts';
import { removeOld } from '../../src/store/sqlite/retention.ts';

const dayMs = 86_400_000;
const [file = '', from = ''] = process.argv.slice(2);
const database: DatabaseSync = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
const slice = 0.02 * dayMs;
let upTo = Number(from);
const state = { isGoing: false };
let working: Promise<void> | null = null;

async function work(): Promise<void> {
  while (state.isGoing) {
    upTo += slice;
    const { requests } = await removeOld(database, { log: 1, payloads: 1, rollups: 10_000 }, upTo + dayMs);
    process.stdout.write(`${requests}\n`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  state.isGoing = line === 'go';
  if (state.isGoing) working ??= work().finally(() => (working = null));
}
database.close();
