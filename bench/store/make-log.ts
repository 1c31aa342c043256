/**
 * Makes a data folder with a request log of millions of rows over 90 days, and its sums, for the other programs here; in
 * turns, where it may not keep the machine busy for long: called again, it goes on. It ends with 3 where there is more to
 * do.
 *
 *   node bench/store/make-log.ts --folder DIR [--rows 10000000] [--seconds 200]
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { openStore } from '../../src/store/index.ts';
import { makeDue, noteSinceLast } from '../../src/store/rollups.ts';
import { kyselyOver } from '../../src/store/sqlite/connection.ts';
import { fillLog } from './fill.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { folder: text, rows: text, seconds: text } });
const { folder } = values;
if (folder === undefined) throw new Error('--folder DIR says where');
const rows = Number(values.rows ?? 10_000_000);
const deadline = performance.now() + Number(values.seconds ?? 200) * 1000;
const file = join(folder, 'mizan.db');

await (await openStore({ folder, url: null })).close();
const { filled } = fillLog(file, rows, 90, deadline);
const database = new DatabaseSync(file);
database.exec('PRAGMA synchronous = OFF');
const db = kyselyOver(database);
const count = (table: string): number => Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);
if (filled === rows) {
  if (count('rollups_due') + count('rollups') === 0) await noteSinceLast(db);
  while (performance.now() < deadline && (await makeDue(db))) continue;
}
const due = count('rollups_due');
database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
database.close();
const took = ((performance.now() - deadline) / 1000 + Number(values.seconds ?? 200)).toFixed(0);
process.stdout.write(
  `${filled} of ${rows} rows, ${due} minutes to sum up, ${(statSync(file).size / 2 ** 20).toFixed(0)} MiB, ${took} s\n`,
);
process.exitCode = filled < rows || due > 0 ? 3 : 0;
