import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { TrialOptions } from './stage.ts';
import { off, Stage } from './stage.ts';

/** How long it is watched, in s, once it has settled. */
const seconds = { settling: 60, watched: 180 };

/** Processor time and memory of a scheduler with many jobs that are not due. */
export async function idle({ services, jobs: count }: TrialOptions): Promise<object> {
  const crons = Array.from({ length: count }, (_, i) => `${i % 60} ${Math.floor(i / 60) % 24} ${1 + (i % 28)} 1 *`);
  const jobs = Object.fromEntries(crons.map((cron, i) => [`j-${i}`, { type: 'cache-cleanup', cron }]));
  const stage = new Stage({ ...services, schedule: { jobs: { ...off, ...jobs } } });
  try {
    const scheduler = await stage.scheduler({ LOG_LEVEL: 'info' });
    const { pid } = scheduler.child;
    await wait(seconds.settling * 1000);
    const proc = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
    const cpu = (): number => {
      const fields = proc('stat').split(') ')[1]?.split(' ') ?? [];
      // In hundredths of a second: of the program, and of the kernel for it.
      return (Number(fields[11]) + Number(fields[12])) / 100;
    };
    const before = cpu();
    await wait(seconds.watched * 1000);
    const used = cpu() - before;
    const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(proc('status')) ?? [];
    await scheduler.end('SIGTERM');
    return {
      jobs: count,
      distinct_crons: new Set(crons).size,
      watched_s: seconds.watched,
      cpu_s: Math.round(used * 100) / 100,
      percent_of_a_core: Math.round((used / seconds.watched) * 10_000) / 100,
      memory_mb: Math.round(Number(kilobytes) / 1024),
    };
  } finally {
    stage.remove();
  }
}
