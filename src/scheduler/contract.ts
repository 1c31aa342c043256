import type { JobRun, JobSettings, StoredJob } from '../core/jobs.ts';

/** What a job works with while it runs. */
export interface JobContext {
  readonly job: StoredJob;
  readonly run: JobRun;
  /** Aborted when its time is over, when somebody else has taken the run over, and when this process ends. */
  readonly signal: AbortSignal;
  /** Says a line, which `mizan jobs run` shows as it comes and the history keeps. No secrets. */
  readonly say: (line: string) => void;
  /**
   * Makes sure that the run is still this process's, before an effect that can't be taken back.
   * @throws MizanError `internal` where somebody else has taken it over.
   */
  readonly confirm: () => Promise<void>;
  /** Keeps this as the run's output though it fails: the next try finds it in `run.output`. */
  readonly keep: (output: unknown) => void;
}

/** One kind of job. */
export interface JobType {
  /** Its name in configurations. */
  readonly name: string;
  /** Whether what it has done stays done, and another run goes on from there: nobody waits for its end who has to end. */
  readonly isGoneOnWith?: boolean;
  /** Does it. @returns What came of it, in plain JSON. @throws MizanError where it failed. */
  run(context: JobContext): Promise<unknown>;
  /**
   * Settings as they are kept.
   * @throws MizanError `invalid_request`, naming the field, where they can't be used, or not by a job of `origin`.
   */
  check(settings: JobSettings, origin: JobOrigin): JobSettings;
}

/** A run that waits for its time, or for somebody who begins it. */
export interface WaitingRun {
  readonly run: string;
  /** Of its lease, which changes with every try. */
  readonly token: number;
  /** From when on it may begin; in ms since the Unix epoch. */
  readonly at: number;
}

/** Whose a job is, and on whose word it runs. */
export type JobOrigin = Pick<StoredJob, 'tenant' | 'maker'>;

/** What happens to jobs, for logs, metrics and notifications. */
export interface JobEvents {
  /** @param isBrought Whether it was brought here, and not found in the store. */
  started(run: JobRun, latenessMs: number, isBrought: boolean): void;
  /** @param isFinal Whether it is not tried again. */
  ended(run: JobRun, end: RunSummary): void;
  skipped(job: StoredJob, due: number): void;
  /** Due times that were let go, for nobody was there to run them. */
  missed(job: StoredJob, letGo: number): void;
  /** A job's schedule can't be read here; it is not run by this process. */
  unreadable(job: StoredJob, error: unknown): void;
  takenOver(run: JobRun): void;
  /** A run came to its end here when it was somebody else's already; what it did was not noted. */
  lost(run: JobRun): void;
  /** The store can't be used. Told once until it can. */
  storeFailed(error: unknown): void;
  storeRecovered(): void;
}

/** How a try ended. Times in ms. */
export interface RunSummary {
  readonly status: 'succeeded' | 'failed' | 'retrying';
  readonly durationMs: number;
  readonly error: unknown;
  readonly output: unknown;
}

/** What decides when due times are looked at, and who begins their runs. The store decides whose each is. */
export interface Driver {
  start(): Promise<void>;
  /** There may be something to begin. */
  poke(): void;
  /** Takes nothing new; what runs may finish. */
  stop(): Promise<void>;
}
