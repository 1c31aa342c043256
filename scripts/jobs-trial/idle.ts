import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { TrialOptions } from './stage.ts';
import { off, say, Stage } from './stage.ts';

/**
 * How long it is watched, in s, once it has settled: in its first three and a half minutes V8 collects twice what the start
 * has left behind, which takes it some tenths of a second each with 10,000 jobs, and compiles what has become hot.
 */
const seconds = { settling: 240, watched: 150 };

/** Processor time and memory of a scheduler with many jobs that are not due. */
export async function idle({ services, jobs: count }: TrialOptions): Promise<object> {
  const crons = Array.from({ length: count }, (_, i) => `${i % 60} ${Math.floor(i / 60) % 24} ${1 + (i % 28)} 1 *`);
  const jobs = Object.fromEntries(crons.map((cron, i) => [`j-${i}`, { type: 'cache-cleanup', cron }]));
  const stage = new Stage({ ...services, schedule: { jobs: { ...off, ...jobs } } });
  try {
    const startedAt = performance.now();
    const scheduler = await stage.scheduler();
    const isStarted = scheduler.log.some(({ event }) => event === 'scheduler_started');
    if (!isStarted) await scheduler.heard('scheduler_started');
    const startS = Math.round((performance.now() - startedAt) / 100) / 10;
    const { pid } = scheduler.child;
    say(`${count} jobs are there after ${startS} s; it settles for ${seconds.settling} s.`);
    const proc = (file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
    const cpu = (): number => {
      const fields = proc('stat').split(') ')[1]?.split(' ') ?? [];
      // In hundredths of a second: of the program, and of the kernel for it.
      return (Number(fields[11]) + Number(fields[12])) / 100;
    };
    const started = cpu();
    await wait(seconds.settling * 1000);
    const before = { cpu: cpu(), threads: threadsOf(pid) };
    const settlingPercent = Math.round(((before.cpu - started) / seconds.settling) * 10_000) / 100;
    say(`It is watched for ${seconds.watched} s.`);
    await wait(seconds.watched * 1000);
    const used = cpu() - before.cpu;
    const threads: Record<string, number> = {};
    for (const { id, name, ns } of threadsOf(pid)) {
      const more = ns - (before.threads.find((each) => each.id === id)?.ns ?? 0);
      threads[name] = (threads[name] ?? 0) + more / seconds.watched / 1e7;
    }
    const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(proc('status')) ?? [];
    await scheduler.end('SIGTERM');
    return {
      jobs: count,
      distinct_crons: new Set(crons).size,
      driver: services.redis === undefined ? 'local' : 'bullmq',
      started_after_s: startS,
      settling_s: seconds.settling,
      percent_while_settling: settlingPercent,
      watched_s: seconds.watched,
      cpu_s: Math.round(used * 100) / 100,
      percent_of_a_core: Math.round((used / seconds.watched) * 10_000) / 100,
      percent_by_threads: Object.fromEntries(
        Object.entries(threads).flatMap(([name, of]) => (of < 0.005 ? [] : [[name, Math.round(of * 100) / 100]])),
      ),
      memory_mb: Math.round(Number(kilobytes) / 1024),
    };
  } finally {
    stage.remove();
  }
}

/** What each thread of a process has run so far. */
function threadsOf(pid: number | undefined): { readonly id: string; readonly name: string; readonly ns: number }[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((id) => {
    const read = (file: string): string => readFileSync(`/proc/${pid}/task/${id}/${file}`, 'utf8');
    try {
      return [{ id, name: read('comm').trim(), ns: Number(read('schedstat').split(' ')[0]) }];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}
