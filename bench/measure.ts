import { setTimeout as sleep } from 'node:timers/promises';
import type { Load } from './load/load.ts';
import type { Outcome, Plan } from './load/plan.ts';
import type { Options } from './options.ts';
import type { Running } from './running.ts';
import { percentile } from './stats.ts';
import { cpuMicros } from './system/procfs.ts';

/** Figures of one contestant from one stretch of load. Times are in ms, cost in µs of processor time. */
export interface Sample {
  /** User and system time of all the gateway's processes per right answer; 0 for `direct`. */
  readonly cpuMicros: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** To the first byte of the body. */
  readonly firstByteP50: number;
  readonly firstByteP99: number;
  readonly right: number;
  readonly wrong: number;
  readonly firstWrong: string | null;
}

/** What is measured of every contestant in every round. */
export const phases = ['load', 'single', 'burst', 'paced'] as const;
export type Phase = (typeof phases)[number];

/** The load of a phase. */
export function planOf(phase: Phase, options: Options): Omit<Plan, 'door'> {
  const { requests, connections, streams, concurrency, paceMs } = options;
  switch (phase) {
    case 'load':
      return { stream: false, connections, requests, deadlineMs: 60_000 };
    case 'single':
      return { stream: false, connections: 1, requests: Math.min(requests, 2000), deadlineMs: 30_000 };
    case 'burst':
      return { stream: true, connections, requests: streams, deadlineMs: 60_000 };
    case 'paced':
      return {
        stream: true,
        connections: concurrency,
        requests: streams,
        deadlineMs: 60_000,
        paceMs,
        rampMs: paceMs * 50,
      };
  }
}

/** Puts one stretch of load on one contestant, the others standing idle. */
export async function measure(running: Running, load: Load, plan: Omit<Plan, 'door'>): Promise<Sample> {
  const before = cpuOf(running);
  const outcome = await load.run({ ...plan, door: running.door });
  // What a gateway puts off until after its answer is part of its cost.
  await sleep(100);
  return sampleOf(outcome, cpuOf(running) - before);
}

function cpuOf({ gateway }: Running): number {
  return gateway === null ? 0 : cpuMicros(gateway.pid);
}

function sampleOf(outcome: Outcome, cpu: number): Sample {
  const { right, wrong, firstWrong, elapsedMs, latencies, firstBytes } = outcome;
  return {
    cpuMicros: cpu / right,
    perSecond: (right / elapsedMs) * 1000,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    firstByteP50: percentile(firstBytes, 0.5),
    firstByteP99: percentile(firstBytes, 0.99),
    right,
    wrong,
    firstWrong,
  };
}

/** Brings a contestant to the speed it will keep: compiled code, open connections, filled pools. */
export async function warmUp(running: Running, load: Load, options: Options): Promise<void> {
  for (const phase of phases) {
    const plan = planOf(phase, options);
    if (plan.requests === 0) continue;
    const requests = phase === 'load' ? options.warmUp : Math.min(plan.requests, 1000);
    await load.run({ ...plan, door: running.door, requests, deadlineMs: 15_000 });
  }
}
