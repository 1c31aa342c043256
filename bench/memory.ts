import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { contestants } from './contestants/index.ts';
import type { Outcome } from './load/plan.ts';
import { whole } from './options.ts';
import type { Row } from './row.ts';
import { say, Stage } from './stage.ts';
import { slope } from './stats.ts';
import { machine } from './system/machine.ts';
import { memory } from './system/procfs.ts';
import type { UpstreamCounters } from './upstream/upstream.ts';

// Memory under streams of which some are left in the middle: does it stay flat, and does the upstream hear of it?

const flags = {
  streams: { type: 'string' },
  abort: { type: 'string', default: '0.1' },
  concurrency: { type: 'string' },
  pace: { type: 'string' },
  gateway: { type: 'string', default: 'mizan' },
} as const;

/** Chunks of a stream that will be left come this slowly: its end is noticed long before its last chunk is due. */
const abortedPaceMs = 20;

interface Point {
  /** Seconds since the load began. */
  readonly x: number;
  /** Resident megabytes. */
  readonly y: number;
}

async function sampled(pid: number, outcome: Promise<Outcome>): Promise<Point[]> {
  const points: Point[] = [];
  const begun = performance.now();
  const note = (): unknown => points.push({ x: (performance.now() - begun) / 1000, y: memory(pid).now / 1e6 });
  note();
  const timer = setInterval(note, 500);
  await outcome.finally(() => clearInterval(timer));
  return points;
}

/** Waits until no stream and no connection is left at the upstream; at most `limitMs`. */
async function settled(stage: Stage, limitMs: number): Promise<UpstreamCounters> {
  const until = performance.now() + limitMs;
  for (;;) {
    const counters = await stage.upstream.counters();
    if ((counters.streamsOpen === 0 && counters.openConnections === 0) || performance.now() > until) return counters;
    await sleep(200);
  }
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({ options: flags });
  const streams = whole('streams', values.streams, 100_000, [10, 10_000_000]);
  const concurrency = whole('concurrency', values.concurrency, 100, [1, 2000]);
  const paceMs = whole('pace', values.pace, 2, [0, 999]);
  const share = Number(values.abort);
  const contestant = contestants.find(({ name }) => name === values.gateway);
  if (contestant === undefined || !(share >= 0 && share < 1))
    throw new Error('No such --gateway, or --abort not below 1.');

  using stage = await Stage.setUp();
  const row = await stage.open(contestant, 1);
  const gateway = row.running?.gateway;
  if (!row.running || !gateway) return false;
  const outcome = stage.load.run({
    door: row.running.door,
    stream: true,
    connections: concurrency,
    requests: streams,
    deadlineMs: 3_600_000,
    rampMs: 200,
    paceMs,
    abort: { share, paceMs: abortedPaceMs },
  });
  say(`${streams} streams, ${concurrency} at one time`);
  const points = await sampled(gateway.pid, outcome);
  await sleep(2000);
  const atEnd = await stage.upstream.counters();
  const later = await settled(stage, 30_000);
  const rested = memory(gateway.pid).now / 1e6;
  await row.close();
  return tell(row, { outcome: await outcome, points, atEnd, later, rested });
}

interface Findings {
  readonly outcome: Outcome;
  readonly points: readonly Point[];
  /** Two seconds after the last stream. */
  readonly atEnd: UpstreamCounters;
  /** Half a minute after, or as soon as all connections were closed. */
  readonly later: UpstreamCounters;
  readonly rested: number;
}

function tell(row: Row, { outcome, points, atEnd, later, rested }: Findings): boolean {
  const megabytes = (value: number): string => `${value.toFixed(0)} MB`;
  const half = points.slice(points.length >> 1);
  const perMinute = slope(half) * 60;
  const step = Math.max(1, Math.floor(points.length / 10));
  const path = points.filter((_, i) => i % step === 0).map(({ x, y }) => `${x.toFixed(0)} s ${megabytes(y)}`);
  const isRight = outcome.wrong === 0 && atEnd.streamsAborted === outcome.aborted && atEnd.streamsOpen === 0;
  const lines = [
    `${machine()}. ${row.name}, ${outcome.right + outcome.aborted} streams in ${(outcome.elapsedMs / 1000).toFixed(0)} s.`,
    '',
    `- resident memory at the start ${megabytes((row.memoryAtStart?.now ?? 0) / 1e6)}, at the end ` +
      `${megabytes(points.at(-1)?.y ?? 0)}, after a rest ${megabytes(rested)}, at its peak ` +
      `${megabytes((row.memoryAfter?.peak ?? 0) / 1e6)} (goal: ≤ 160 MB)`,
    `- on its way: ${path.join(', ')}`,
    `- slope over the second half: ${perMinute.toFixed(2)} MB/min (goal: ≈ 0)`,
    `- streams left by the client ${outcome.aborted}, noticed by the upstream ${atEnd.streamsAborted}, ` +
      `the latest after ${atEnd.latestAbort} of 50 chunks (${abortedPaceMs} ms each)`,
    `- at the upstream, 2 s after the last stream: ${atEnd.streamsOpen} streams, ${atEnd.openConnections} connections; ` +
      `then: ${later.openConnections} connections`,
    `- wrong: ${outcome.wrong}${outcome.firstWrong === null ? '' : `, the first: ${outcome.firstWrong}`}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return isRight;
}

process.exitCode = (await main()) ? 0 : 1;
