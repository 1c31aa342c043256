import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

// What Linux tells of running processes (proc(5)). On other systems the bench says that it can't measure.

/** Resident memory of a process and all its descendants, in bytes. */
export interface Memory {
  readonly now: number;
  /** The sum of each one's own peak, which need not have been at one time. */
  readonly peak: number;
}

let ticksPerSecond: number | undefined;

/** The text of a file, or `''` where the process or thread has just ended. */
function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** `pid` and all its descendants that run now. */
export function family(pid: number): number[] {
  const all = [pid];
  for (let i = 0; i < all.length; i++) {
    const parent = all[i];
    if (parent === undefined) continue;
    for (const thread of threads(parent)) {
      const children = text(`/proc/${parent}/task/${thread}/children`).trim();
      if (children !== '') all.push(...children.split(' ').map(Number));
    }
  }
  return all;
}

/** What follows the name in `/proc/PID/stat`: the third field is the first here. */
function statFields(pid: number): string[] {
  const stat = text(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** When a process began, as text to compare: a pid may have come to mean another. `undefined` if there is none. */
export function bornAt(pid: number): string | undefined {
  return statFields(pid)[19];
}

/** `utime + stime` of `/proc/PID/stat`, in ticks. */
function ticks(pid: number): number {
  const fields = statFields(pid);
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

function threadNanos(pid: number): number {
  let nanos = 0;
  for (const thread of threads(pid)) nanos += Number(text(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0]);
  return nanos;
}

const hasSchedstat = threadNanos(process.pid) > 0;

/**
 * User and system time so far of all threads of `pid` and its descendants, in µs. From each thread's schedstat, which
 * counts nanoseconds where `/proc/PID/stat` counts ticks of 10 ms; from the latter where the kernel has no schedstat.
 */
export function cpuMicros(pid: number): number {
  const all = family(pid);
  if (hasSchedstat) return all.reduce((sum, member) => sum + threadNanos(member), 0) / 1000;
  ticksPerSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return (all.reduce((sum, member) => sum + ticks(member), 0) * 1_000_000) / ticksPerSecond;
}

export function memory(pid: number): Memory {
  let now = 0;
  let peak = 0;
  for (const member of family(pid)) {
    const status = text(`/proc/${member}/status`);
    now += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
    peak += Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  }
  return { now, peak };
}
