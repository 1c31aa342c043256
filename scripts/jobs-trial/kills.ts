import { setTimeout as wait } from 'node:timers/promises';
import type { JobRun } from '../../src/core/jobs.ts';
import type { TrialOptions } from './stage.ts';
import { off, Stage } from './stage.ts';

const everyS = 5;

/** Twenty schedulers, one after the other, each killed while it makes a backup; after each, the last good one is verified. */
export async function kills({ services }: TrialOptions): Promise<object> {
  const stage = new Stage({
    ...services,
    schedule: { jobs: { ...off, backup: { every: `${everyS}s`, keep: 1000, retries: 50 } } },
  });
  try {
    let verified = 0;
    let hadNone = 0;
    for (let i = 0; i < 20; i++) {
      const scheduler = await stage.scheduler();
      // The first few make one, so that there is something to lose.
      if (i % 4 === 0) await scheduler.heard('job_succeeded');
      await scheduler.heard('job_started');
      await wait(i * 40);
      await scheduler.end('SIGKILL');
      const [newest] = await listed(stage);
      if (newest === undefined) hadNone++;
      else {
        await stage.mizan('backup', 'verify', newest);
        verified++;
      }
    }
    const last = await stage.scheduler();
    await wait(20_000);
    await last.end('SIGTERM');
    const runs = await stage.history(['backup']);
    const names = await listed(stage);
    let bad = 0;
    for (const name of names) await stage.mizan('backup', 'verify', name).catch(() => bad++);
    return { killed: 20, verified_after_a_kill: verified, had_none_yet: hadNone, ...countsOf(runs, names), bad };
  } finally {
    stage.remove();
  }
}

async function listed(stage: Stage): Promise<string[]> {
  const backups = JSON.parse(await stage.mizan('backup', 'list', '--json')) as { readonly name: string }[];
  return backups.map(({ name }) => name);
}

function countsOf(runs: readonly JobRun[], backups: readonly string[]) {
  const dues = runs.map(({ due }) => due / 1000).toSorted((a, b) => a - b);
  const wanted = ((dues.at(-1) ?? 0) - (dues[0] ?? 0)) / everyS + 1;
  const byStatus: Record<string, number> = {};
  for (const { status } of runs) byStatus[status] = (byStatus[status] ?? 0) + 1;
  const made = runs.flatMap(({ output }) => (output as { readonly name?: string } | null)?.name ?? []);
  return {
    due_times: wanted,
    rows: runs.length,
    lost: wanted - new Set(dues).size,
    doubled: runs.length - new Set(dues).size,
    ...byStatus,
    begun_again: runs.filter(({ attempts }) => attempts > 1).length,
    backups: backups.length,
    backups_of_runs_that_are_there: made.filter((name) => backups.includes(name)).length,
    runs_that_made_one: new Set(made).size,
  };
}
