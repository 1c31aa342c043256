/**
 * A request log of millions of rows in SQLite: what the first page, filters and the overview of 90 days cost, how the
 * slowest turn of the event loop and appends do meanwhile, and how far the file shrinks when half of it is removed.
 *
 * With `--folder` the log is one that make-log.ts made; half of it is gone then, and the folder stays.
 *
 *   node bench/store/big-log.ts [--rows 10000000] [--folder DIR]
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { newRequestId } from '../../src/core/ids.ts';
import { openStore } from '../../src/store/index.ts';
import { requestRecord } from '../../test/support/records.ts';
import { fillLog } from './fill.ts';

const { values } = parseArgs({ options: { rows: { type: 'string' }, folder: { type: 'string' } } });
const rows = Number(values.rows ?? 10_000_000);
const dayMs = 86_400_000;
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'mizan-big-'));
const file = join(folder, 'mizan.db');
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const events = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };

async function timed<T>(what: string, work: () => Promise<T>, times = 20): Promise<T> {
  const took: number[] = [];
  let result = await work();
  for (let i = 0; i < times; i++) {
    const startedAt = performance.now();
    result = await work();
    took.push(performance.now() - startedAt);
  }
  took.sort((a, b) => a - b);
  const at = (share: number): string => (took[Math.floor(share * (took.length - 1))] ?? 0).toFixed(1);
  say(`${what}: ${at(0.5)} ms in the middle, ${at(1)} ms at most of ${times}`);
  return result;
}

/** How late appends are that come a hundred times a second. */
async function appends(until: Promise<unknown>): Promise<string> {
  const took: number[] = [];
  const over = { isOver: false };
  void until.finally(() => (over.isOver = true));
  while (!over.isOver) {
    const startedAt = performance.now();
    await store.requestLog.append(requestRecord({ id: newRequestId(Date.now()), time: Date.now() }));
    took.push(performance.now() - startedAt);
    await wait(10);
  }
  took.sort((a, b) => a - b);
  const at = (share: number): string => (took[Math.floor(share * (took.length - 1))] ?? 0).toFixed(2);
  return `${took.length} appends, ${at(0.5)} ms in the middle, ${at(0.99)} ms at p99, ${at(1)} ms at most`;
}

if (values.folder === undefined) await (await openStore({ folder, url: null })).close();
let startedAt = performance.now();
const { start } = fillLog(file, rows, 90);
say(
  `${rows} rows in ${((performance.now() - startedAt) / 1000).toFixed(0)} s, ${(statSync(file).size / 2 ** 20).toFixed(0)} MiB`,
);

const store = await openStore({ folder, url: null, events });
say(`appends alone: ${await appends(wait(10_000))}`);
startedAt = performance.now();
await store.requestLog.append(requestRecord({ id: newRequestId(Date.now()), time: Date.now() }));
const whole = { from: start, to: Date.now() };
while ((await store.overview('default', whole)).total.requests < rows) await wait(1000);
say(`all sums made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
const list = (query: object) => store.requestHistory.list('default', { limit: 50, ...query });
await timed('first page', () => list({}));
await timed('first page of errors', () => list({ status: 502 }));
await timed('first page of one agent, slow ones', () => list({ agent: 'agent-1', minLatencyMs: 2900 }));
await timed('a day in the middle', () => list({ from: start + 45 * dayMs, to: start + 46 * dayMs }));
await timed('overview of 90 days', () => store.overview('default', whole));
await timed('overview of an hour', () => store.overview('default', { from: Date.now() - 3_600_000, to: Date.now() }));
const nothing = await list({ tag: { name: 'x', value: 'y' } }).catch((error: unknown) => String(error));
say(`a tag that nobody has: ${Array.isArray(nothing) ? 'nothing found' : nothing}`);
const asking = (async () => {
  for (const end = performance.now() + 10_000; performance.now() < end;) {
    await Promise.all([list({}), list({ agent: 'agent-1', minLatencyMs: 3015 }), store.overview('default', whole)]);
  }
})();
say(`appends while all that is asked in a loop: ${await appends(asking)}`);

const before = statSync(file).size;
startedAt = performance.now();
const removal = store.removeOld({ log: 45, payloads: 14, rollups: 730 });
say(`appends while half is removed: ${await appends(removal)}`);
const removed = await removal;
await store.close();
const after = statSync(file).size;
say(
  `${removed.requests} rows removed in ${((performance.now() - startedAt) / 1000).toFixed(0)} s; the file went from ` +
    `${(before / 2 ** 20).toFixed(0)} to ${(after / 2 ** 20).toFixed(0)} MiB`,
);
if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
