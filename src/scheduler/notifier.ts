import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun } from '../core/jobs.ts';
import type { Notices } from '../core/notices.ts';
import type { PostWebhook } from '../core/webhooks.ts';
import type { Log } from '../telemetry/log.ts';
import type { Notifier } from './reports.ts';

type Notice = 'failure' | 'late' | 'recovery';

export interface NotifierParts {
  readonly webhooks: readonly string[];
  readonly on: readonly Notice[];
  /** How long the same is not told again. */
  readonly repeatMs: number;
  readonly post: PostWebhook;
  /** What was told, by any process. */
  readonly notices: Notices;
  readonly clock: Clock;
  readonly log: Log;
}

const types: Readonly<Record<Notice, string>> = {
  failure: 'job.failed',
  late: 'job.late',
  recovery: 'job.recovered',
};

/**
 * Tells webhooks when a job fails, is late or is well again; the same once in a while, whichever process it happened in,
 * and never holds up a job. What no webhook took is told again at the next opportunity.
 */
export class WebhookNotifier implements Notifier {
  readonly #parts: NotifierParts;
  readonly #abort = new AbortController();
  readonly #pending = new Set<Promise<void>>();

  constructor(parts: NotifierParts) {
    this.#parts = parts;
  }

  failed(run: JobRun, { error }: { readonly error: unknown }): void {
    const why = error instanceof MizanError ? error.message : 'a defect of Mizan; its log has the cause';
    this.#keep(run, this.#once('failure', run, `Job ${run.job} failed: ${why}`));
  }

  late(run: JobRun, latenessMs: number): void {
    this.#keep(run, this.#once('late', run, `Job ${run.job} began ${Math.round(latenessMs / 1000)} s late.`));
  }

  /** Well again: it had failed, here or anywhere, and whoever wanted to know was told. */
  succeeded(run: JobRun): void {
    this.#keep(run, this.#recovered(run));
  }

  /** Waits for what is on its way, and gives up what is still not there after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const late = setTimeout(() => this.#abort.abort(new MizanError('shutting_down', 'This process ends.')), graceMs);
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    clearTimeout(late);
  }

  async #once(what: 'failure' | 'late', run: JobRun, text: string): Promise<void> {
    const { notices, clock, repeatMs } = this.#parts;
    const key = keyOf(what, run);
    if (!(await notices.claim(key, clock.now(), repeatMs))) return;
    if (!(await this.#tell(what, run, text))) await notices.forget(key);
  }

  async #recovered(run: JobRun): Promise<void> {
    if (await this.#parts.notices.forget(keyOf('failure', run))) {
      await this.#tell('recovery', run, `Job ${run.job} is well again.`);
    }
  }

  #keep({ job }: JobRun, telling: Promise<void>): void {
    const kept = telling
      .catch((err: unknown) => this.#parts.log.error({ event: 'job_notice_failed', job, err }))
      .finally(() => this.#pending.delete(kept));
    this.#pending.add(kept);
  }

  /** @returns Whether anybody took it, or nobody wants to know. */
  async #tell(what: Notice, run: JobRun, text: string): Promise<boolean> {
    const { on, webhooks, post, log } = this.#parts;
    if (!on.includes(what)) return true;
    const data = { job: run.job, run: run.id, due: new Date(run.due).toISOString(), attempts: run.attempts };
    const message = { id: `${run.id}-${what}`, type: types[what], text, data };
    const taken = await Promise.all(
      webhooks.map(async (webhook) => {
        try {
          await post(webhook, message, this.#abort.signal);
          return true;
        } catch (err) {
          log.error({ event: 'job_notice_failed', job: run.job, webhook, err });
          return false;
        }
      }),
    );
    return taken.includes(true);
  }
}

function keyOf(what: 'failure' | 'late', { job }: JobRun): string {
  return `job ${what} ${job}`;
}
