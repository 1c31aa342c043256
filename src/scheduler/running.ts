import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun, JobStore, StoredJob } from '../core/jobs.ts';
import type { JobContext, JobType } from './contract.ts';

/** How often a run shows that it lives, in ms. */
const beatMs = 2000;

/** How soon what it says can be read, in ms. */
const saidMs = 400;

/** How long a job that was aborted may take to notice, in ms. */
const lastWordsMs = 5000;

/** Why a run was aborted. */
export type Abort = 'timeout' | 'lost' | 'stopping';

/** What came of a try. */
export type Outcome =
  | { readonly kind: 'done'; readonly output: unknown }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'aborted'; readonly why: Abort };

interface RunningParts {
  readonly store: JobStore;
  readonly clock: Clock;
  readonly type: JobType | undefined;
}

/** One run while it goes on here: keeps its lease alive, its time limited, and what it says readable. */
export class Running {
  readonly run: JobRun;
  /** Whether it needn't come to its end here. */
  readonly isGoneOnWith: boolean;
  /** What is to be kept of it however it ends; `null` for nothing. */
  kept: unknown = null;
  readonly #store: JobStore;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  #said = '';
  #why: Abort | null = null;
  #timer: NodeJS.Timeout | undefined;
  #lastBeatAt: number;
  #beating: Promise<void> | null = null;
  #isOver = false;

  constructor(run: JobRun, { store, clock, type }: RunningParts) {
    this.run = run;
    this.isGoneOnWith = type?.isGoneOnWith === true;
    this.#store = store;
    this.#clock = clock;
    this.#lastBeatAt = clock.monotonic();
  }

  /** @param work What the run is there to do. It never rejects. */
  async go(job: StoredJob, work: (context: JobContext) => Promise<unknown>): Promise<Outcome> {
    const limit = setTimeout(() => this.abort('timeout'), job.timeoutMs);
    this.#wait();
    const { promise: aborted, resolve } = Promise.withResolvers<Outcome>();
    this.#abort.signal.addEventListener('abort', () => {
      setTimeout(() => resolve(this.#aborted()), lastWordsMs).unref();
    });
    try {
      return await Promise.race([aborted, this.#work(job, work)]);
    } finally {
      this.#isOver = true;
      clearTimeout(limit);
      clearTimeout(this.#timer);
      await this.#beating;
      if (this.#why !== 'lost' && this.#said !== '') await this.#beat().catch(() => undefined);
    }
  }

  abort(why: Abort): void {
    if (this.#why !== null || this.#isOver) return;
    this.#why = why;
    this.#abort.abort(new MizanError('internal', reasons[why]));
  }

  async #work(job: StoredJob, work: (context: JobContext) => Promise<unknown>): Promise<Outcome> {
    const context: JobContext = {
      job,
      run: this.run,
      signal: this.#abort.signal,
      say: (line) => this.#say(line),
      confirm: () => this.#confirm(),
      keep: (output) => {
        this.kept = output;
      },
    };
    try {
      const output = await work(context);
      // Whoever finishes though it was told to stop has finished; only who lost the run must not say so.
      return this.#why === 'lost' ? this.#aborted() : { kind: 'done', output };
    } catch (error) {
      if (this.#why !== null) return this.#aborted();
      return { kind: 'failed', error };
    }
  }

  #aborted(): Outcome {
    return { kind: 'aborted', why: this.#why ?? 'lost' };
  }

  #say(line: string): void {
    const time = new Date(this.#clock.now()).toISOString().slice(11, 19);
    this.#said += `${time} ${line}\n`;
    clearTimeout(this.#timer);
    this.#wait();
  }

  #wait(): void {
    if (this.#isOver) return;
    const since = this.#clock.monotonic() - this.#lastBeatAt;
    const after = this.#said === '' ? beatMs - since : saidMs - since;
    this.#timer = setTimeout(
      () => {
        this.#beating ??= this.#beat()
          .catch(() => {
            // The store is away; then nobody else can have taken the run over, and it goes on.
          })
          .finally(() => {
            this.#beating = null;
            this.#wait();
          });
      },
      Math.max(0, after),
    );
  }

  async #beat(): Promise<void> {
    this.#lastBeatAt = this.#clock.monotonic();
    // Whoever beats beside this one has only what is said from here on.
    const said = this.#said;
    this.#said = '';
    try {
      const isMine = await this.#store.beat(this.run.id, this.run.lease.token, said);
      if (!isMine) this.abort('lost');
    } catch (error) {
      this.#said = said + this.#said;
      throw error;
    }
  }

  async #confirm(): Promise<void> {
    await this.#beat();
    this.#abort.signal.throwIfAborted();
  }
}

const reasons: Readonly<Record<Abort, string>> = {
  timeout: 'The job took longer than its time limit.',
  lost: 'Somebody else has taken the run over.',
  stopping: 'This process ends.',
};
