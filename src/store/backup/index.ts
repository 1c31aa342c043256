import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BackupList, BackupRun, Backups, NewBackup } from '../../core/backups.ts';
import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import { holdBackups } from '../folder-lock.ts';
import { stopFlag } from '../stop-flag.ts';
import { workName } from './create.ts';
import type { BackupSettings } from './settings.ts';
import { listBackups, targetsOf, toPlain } from './settings.ts';
import type { BackupOrder, BackupReply } from './worker-protocol.ts';

/** Is told how backups went, for the log. */
export interface BackupEvents {
  done(backup: NewBackup): void;
  failed(error: unknown): void;
}

/** How long one that was given up may take to tidy up, in ms. */
const tidyMs = 3000;

/** Backups beside a Mizan that serves: each is made on a thread of its own, which steps back behind answers. */
export class BackupService implements Backups {
  readonly #settings: BackupSettings;
  readonly #clock: Clock;
  readonly #events: BackupEvents;
  #worker: Worker | null = null;
  #lastRun: BackupRun | null = null;

  constructor(settings: BackupSettings, clock: Clock, events: BackupEvents) {
    this.#settings = settings;
    this.#clock = clock;
    this.#events = events;
  }

  get lastRun(): BackupRun | null {
    return this.#lastRun;
  }

  list(): Promise<BackupList> {
    return listBackups(targetsOf(this.#settings));
  }

  async create(keep = this.#settings.keep, signal?: AbortSignal): Promise<NewBackup> {
    if (this.#worker !== null) throw new MizanError('backup_running', 'A backup is being made already.');
    const startedAt = this.#clock.now();
    this.#lastRun = {
      state: 'running',
      startedAt,
      endedAt: null,
      step: null,
      share: null,
      backup: null,
      error: null,
    };
    try {
      const settings = toPlain({ ...this.#settings, keep });
      const backup = await this.#run({ settings, now: startedAt, stop: stopFlag(signal) }, signal);
      this.#ended({ state: 'done', step: null, share: null, backup });
      this.#events.done(backup);
      return backup;
    } catch (error) {
      this.#ended({ state: 'failed', error: error instanceof Error ? error.message : String(error) });
      this.#events.failed(error);
      throw error;
    }
  }

  /** What is under way is given up, and leaves nothing that would count as a backup. */
  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #run(order: BackupOrder, signal: AbortSignal | undefined): Promise<NewBackup> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(new MizanError('shutting_down', 'The backup was given up before it began.'));
        return;
      }
      const worker = new Worker(new URL('./backup.worker.ts', import.meta.url), {
        name: 'backup',
        workerData: order,
        resourceLimits: { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 256 },
      });
      worker.unref();
      this.#worker = worker;
      let impatient: NodeJS.Timeout | undefined;
      // It tidies up behind itself, unless it is in the middle of something long.
      const left = (): void => {
        impatient = setTimeout(() => void worker.terminate(), tidyMs);
      };
      signal?.addEventListener('abort', left);
      worker.on('message', (reply: BackupReply) => {
        if ('progress' in reply) {
          this.#progressed(reply.progress);
          return;
        }
        // It has nothing more to do but to end; the next may begin.
        this.#worker = null;
        if ('done' in reply) resolve(reply.done);
        else reject(new MizanError(reply.failed.code, reply.failed.message, { cause: reply.failed.detail }));
      });
      worker.on('error', (cause) => reject(new MizanError('internal', 'The backup failed.', { cause })));
      worker.on('exit', () => {
        clearTimeout(impatient);
        signal?.removeEventListener('abort', left);
        // Settled already, unless it was ended from outside.
        if (this.#worker !== worker) return;
        this.#worker = null;
        void clear(order.settings.dataFolder).finally(() =>
          reject(new MizanError('shutting_down', 'The backup was given up.')),
        );
      });
    });
  }

  #progressed({ step, done, total }: { readonly step: string; readonly done: number; readonly total: number }): void {
    if (this.#lastRun === null) return;
    this.#lastRun = { ...this.#lastRun, step, share: total === 0 ? null : done / total };
  }

  #ended(facts: Partial<BackupRun>): void {
    if (this.#lastRun !== null) this.#lastRun = { ...this.#lastRun, ...facts, endedAt: this.#clock.now() };
  }
}

/** What a thread that was ended could not tidy up. Where another backup is being made, it is that one's by now. */
async function clear(dataFolder: string): Promise<void> {
  try {
    const hold = holdBackups(dataFolder);
    await rm(join(dataFolder, workName), { recursive: true, force: true }).finally(() => hold.release());
  } catch {
    // Then the next one does.
  }
}
