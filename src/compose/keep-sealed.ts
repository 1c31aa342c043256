import type { Store } from '../store/index.ts';
import type { Log } from '../telemetry/log.ts';

/** How often it is looked whether a rotation has left something to do, in ms. */
const upkeepMs = 60_000;

/** Goes on with what a rotation left to do, here or in another process, until it is aborted. */
export function keepSealed({ vault, sealedJobs }: Pick<Store, 'vault' | 'sealedJobs'>, log: Log): AbortController {
  const abort = new AbortController();
  const damaged = (row: string): void => log.error({ event: 'sealed_row_damaged', row });
  const told = new Set<string>();
  const keepJobs = async (): Promise<void> => {
    const jobs = await sealedJobs.upkeep(vault.rotation.retiredFor('job'), abort.signal);
    for (const row of jobs.damaged.filter((each) => !told.has(each))) damaged(row);
    for (const row of jobs.damaged) told.add(row);
  };
  const failed = (err: unknown): void => {
    if (!abort.signal.aborted) log.error({ event: 'sealing_upkeep_failed', err });
  };
  const work = (): void => {
    vault.upkeep(abort.signal, damaged).catch(failed);
    // In whichever database they are: where it is away, another time.
    keepJobs().catch(failed);
  };
  const timer = setInterval(work, upkeepMs).unref();
  abort.signal.addEventListener('abort', () => clearInterval(timer));
  work();
  return abort;
}
