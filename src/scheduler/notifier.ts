import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun, JobStore } from '../core/jobs.ts';
import { everyTenant } from '../core/request-record.ts';
import type { PostWebhook } from '../core/webhooks.ts';
import type { Log } from '../telemetry/log.ts';
import type { Notifier } from './reports.ts';

export interface NotifierParts {
  readonly webhooks: readonly string[];
  readonly on: readonly ('failure' | 'late' | 'recovery')[];
  /** How long the same is not told again. */
  readonly repeatMs: number;
  readonly post: PostWebhook;
  readonly store: JobStore;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tells webhooks when a job fails, is late or is well again; the same once in a while, and never holds up a job. */
export class WebhookNotifier implements Notifier {
  readonly #parts: NotifierParts;
  readonly #told = new Map<string, number>();
  readonly #abort = new AbortController();
  readonly #pending = new Set<Promise<void>>();

  constructor(parts: NotifierParts) {
    this.#parts = parts;
  }

  failed(run: JobRun, { error }: { readonly error: unknown }): void {
    const why = error instanceof MizanError ? error.message : 'a defect of Mizan; its log has the cause';
    this.#tell('failure', run, `Job ${run.job} failed: ${why}`);
  }

  late(run: JobRun, latenessMs: number): void {
    this.#tell('late', run, `Job ${run.job} began ${Math.round(latenessMs / 1000)} s late.`);
  }

  /** Well again: the run before it had failed, here or anywhere. */
  succeeded(run: JobRun): void {
    if (!this.#parts.on.includes('recovery') || this.#parts.webhooks.length === 0) return;
    this.#keep(this.#recovered(run), { job: run.job });
  }

  async #recovered(run: JobRun): Promise<void> {
    const [before] = await this.#parts.store.runs(everyTenant, { limit: 1, jobs: [run.job], before: run.id });
    if (before?.status !== 'failed') return;
    this.#told.delete(`failure ${run.job}`);
    this.#tell('recovery', run, `Job ${run.job} is well again.`);
  }

  /** Waits for what is on its way, and gives up what is still not there after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const late = setTimeout(() => this.#abort.abort(new MizanError('shutting_down', 'This process ends.')), graceMs);
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    clearTimeout(late);
  }

  #keep(telling: Promise<void>, facts: Readonly<Record<string, string>>): void {
    const kept = telling
      .catch((err: unknown) => this.#parts.log.error({ event: 'job_notice_failed', ...facts, err }))
      .finally(() => this.#pending.delete(kept));
    this.#pending.add(kept);
  }

  #tell(what: 'failure' | 'late' | 'recovery', run: JobRun, text: string): void {
    const { on, clock, webhooks, post, repeatMs } = this.#parts;
    if (!on.includes(what)) return;
    const key = `${what} ${run.job}`;
    const now = clock.now();
    const before = this.#told.get(key);
    if (what !== 'recovery' && before !== undefined && now - before < repeatMs && now >= before) return;
    this.#told.set(key, now);
    const type = { failure: 'job.failed', late: 'job.late', recovery: 'job.recovered' }[what];
    const data = { job: run.job, run: run.id, due: new Date(run.due).toISOString(), attempts: run.attempts };
    for (const webhook of webhooks) {
      const told = post(webhook, { id: `${run.id}-${what}`, type, text, data }, this.#abort.signal);
      this.#keep(told, { job: run.job, webhook });
    }
  }
}
