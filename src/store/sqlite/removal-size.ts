import type { DatabaseSync } from 'node:sqlite';
import { grains } from '../rollups.ts';

/** What is taken for the number of requests where the sums say nothing of them. */
const unknown = 10_000_000;

/** Only requests that took more than one attempt have any here. */
const attemptsPerRequest = 0.1;

/** How long a time may be of which the sums of all hours are read, in ms. */
const fineMs = 10 * grains.day * 1000;

/** Rows of a table that are of times from `from` until `to`, in ms since the Unix epoch. */
export interface OldRows {
  readonly table: string;
  /** Of sums, in seconds. */
  readonly grain?: number;
  readonly from: number;
  readonly to: number;
}

/** How many there are, about and rather too many: to count them would be to read them all. */
export function guessedRows(database: DatabaseSync, rows: OldRows): number {
  const requests = requestsIn(database, rows);
  if (rows.grain !== undefined) return Math.min(requests, sumsIn(database, rows, rows.grain));
  if (rows.table === 'attempts') return requests * attemptsPerRequest;
  if (rows.table !== 'payloads') return requests;
  // Which may be kept of some only; they have numbers, which go up.
  const row = database.prepare('SELECT max(rowid) - min(rowid) + 1 AS n FROM payloads').get();
  return Math.min(requests, Number(row?.['n'] ?? 0));
}

/** By the sums per hour or day, of one in part what that is of it. */
function requestsIn(database: DatabaseSync, { from, to }: OldRows): number {
  const grain = to - from > fineMs ? grains.day : grains.hour;
  const row = database
    .prepare(
      `SELECT sum(requests * (min(start + $ms, $to) - max(start, $from)) / CAST($ms AS REAL)) AS n
       FROM rollups WHERE grain = $grain AND start > $from - $ms AND start < $to`,
    )
    .get({ $grain: grain, $ms: grain * 1000, $from: from, $to: to });
  const sum = Number(row?.['n'] ?? 0);
  return sum > 0 ? Math.ceil(sum) : unknown;
}

/** Those per minute by those of their hours. */
function sumsIn(database: DatabaseSync, { from, to }: OldRows, grain: number): number {
  const [counted, times] = grain === grains.minute ? [grains.hour, 60] : [grain, 1];
  const row = database
    .prepare('SELECT count(*) AS n FROM rollups WHERE grain = ? AND start > ? AND start < ?')
    .get(counted, from - counted * 1000, to);
  return Number(row?.['n'] ?? 0) * times;
}
