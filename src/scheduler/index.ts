import type { JobStore, NamedJob } from '../core/jobs.ts';
import type { JobFigures } from '../telemetry/job-metrics.ts';
import type { Log } from '../telemetry/log.ts';
import type { Driver } from './contract.ts';
import type { EngineParts } from './engine.ts';
import { Engine } from './engine.ts';
import { BullmqDriver } from './drivers/bullmq.ts';
import type { QueuePlace } from './drivers/job-queue.ts';
import { loadQueue } from './drivers/job-queue.ts';
import { LocalDriver } from './drivers/local.ts';
import type { Notifier } from './reports.ts';
import { reportsOf } from './reports.ts';
import { SuccessWatch } from './success-watch.ts';

export interface SchedulerParts extends Omit<EngineParts, 'events'> {
  /** The configuration's jobs. */
  readonly configured: readonly NamedJob[];
  readonly log: Log;
  readonly figures: JobFigures;
  readonly notifier: Notifier | null;
  /** Where the bullmq driver has its queue; `null` for the local driver. */
  readonly queue: QueuePlace | null;
  /** How long runs may take to finish when it stops, in ms. */
  readonly graceMs: number;
}

/** How often it is tried to begin and last successes are looked up, and how long notices may take at the end; in ms. */
const often = { beginMs: 1000, successesMs: 60_000, noticesMs: 5000 };

/** Makes the configuration's jobs what the configuration says, and no others the configuration's. */
export async function syncConfigured(store: JobStore, configured: readonly NamedJob[], now: number): Promise<void> {
  const names = new Set(configured.map(({ name }) => name));
  await store.putAll(configured, { source: 'config', by: 'config', now });
  const gone = (await store.jobs()).filter(({ name, source }) => source === 'config' && !names.has(name));
  await store.removeAll(
    gone.map(({ name }) => name),
    'config',
    now,
  );
}

/** Runs jobs when they are due, together with all others on the same store. */
export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #engine: Engine;
  readonly #driver: Driver;
  #timer: NodeJS.Timeout | undefined;
  readonly #watch: SuccessWatch;
  #isStopped = false;
  #isStarted = false;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    const { log, figures, notifier } = parts;
    const events = reportsOf({ log, figures, notifier, catalogue: () => this.#engine.catalogue });
    this.#engine = new Engine({ ...parts, events });
    this.#driver = driverOf(this.#engine, parts);
    this.#watch = new SuccessWatch(parts, (name) => this.#engine.catalogue.get(name)?.job.source === 'config');
  }

  /** Loads what its driver needs. @throws SetupError where that isn't installed. */
  async load(): Promise<void> {
    if (this.#parts.queue !== null) await loadQueue();
  }

  /** Begins as soon as the store can be used; resolves at the first try, whatever comes of it. */
  async start(): Promise<void> {
    try {
      const { store, configured, clock } = this.#parts;
      await syncConfigured(store, configured, clock.now());
      await this.#driver.start();
      this.#isStarted = true;
      this.#parts.log.debug({ event: 'scheduler_started', driver: this.#parts.queue === null ? 'local' : 'bullmq' });
      this.#watchSuccesses();
    } catch (err) {
      if (this.#isStopped) return;
      this.#parts.log.error({ event: 'scheduler_not_started', err });
      this.#timer = setTimeout(() => void this.start(), often.beginMs);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (this.#isStarted) await this.#driver.stop();
    await this.#parts.notifier?.stop(often.noticesMs);
  }

  /** Runs one run that waits to its end, tries and all, and begins nothing else. It is not started for that. */
  async runOnly(id: string): Promise<void> {
    await this.#engine.refresh();
    while (!(await this.#engine.runOnly(id))) await new Promise((resolve) => setTimeout(resolve, 500));
    await this.#parts.notifier?.stop(often.noticesMs);
  }

  /** There may be something to begin. */
  poke(): void {
    this.#driver.poke();
  }

  #watchSuccesses(): void {
    if (this.#isStopped) return;
    this.#watch
      .look()
      .catch(() => undefined)
      .finally(() => {
        if (this.#isStopped) return;
        this.#timer = setTimeout(() => this.#watchSuccesses(), often.successesMs).unref();
      });
  }
}

function driverOf(engine: Engine, { clock, graceMs, queue, log }: SchedulerParts): Driver {
  if (queue === null) return new LocalDriver(engine, { clock, graceMs });
  const events = {
    away: (reason: string) => log.warn({ event: 'job_queue_away', reason }),
    back: () => log.info({ event: 'job_queue_back' }),
  };
  return new BullmqDriver(engine, { clock, graceMs, place: queue, events });
}
