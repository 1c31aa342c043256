import type { Clock } from '../../core/clock.ts';
import type { JobRun } from '../../core/jobs.ts';
import type { Driver } from '../contract.ts';
import type { Engine } from '../engine.ts';
import type { QueueEvents, QueuePlace, Ticket } from './job-queue.ts';
import { JobQueue } from './job-queue.ts';
import { LocalDriver } from './local.ts';

/** How far ahead due times are sent to Redis, in ms. */
const horizonMs = 10_000;

/** How long Redis may take to bring what is due, before it is begun without it; in ms. */
const patienceMs = 2000;

export interface BullmqSettings {
  readonly clock: Clock;
  /** How long runs may take to finish when it stops, in ms. */
  readonly graceMs: number;
  readonly place: QueuePlace;
  readonly events: QueueEvents;
}

/**
 * Due times and runs go through BullMQ, which brings each to one of all schedulers, whoever has room. The store's rows
 * say what is due and whose it is, as with the local driver: what BullMQ brings twice is run once, and what it doesn't
 * bring in time, since Redis is away or has forgotten it, is begun from the rows.
 */
export class BullmqDriver implements Driver {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #queue: JobQueue;
  readonly #loop: LocalDriver;
  /** The due time that was sent last, of each job. */
  readonly #sent = new Map<string, number>();

  constructor(engine: Engine, { clock, graceMs, place, events }: BullmqSettings) {
    this.#engine = engine;
    this.#clock = clock;
    this.#queue = new JobQueue(place, {
      away: (reason) => events.away(reason),
      back: () => {
        // Who was away may have forgotten.
        this.#sent.clear();
        events.back();
      },
    });
    this.#loop = new LocalDriver(engine, {
      clock,
      graceMs,
      carrier: {
        patienceMs: () => (this.#queue.isUp ? patienceMs : 0),
        announce: () => this.#announce(),
        carry: (run) => this.#carry(run),
      },
    });
  }

  async start(): Promise<void> {
    await this.#queue.open((ticket) => this.#arrived(ticket));
    await this.#loop.start();
  }

  poke(): void {
    this.#loop.poke();
  }

  async stop(): Promise<void> {
    this.#queue.pause();
    await this.#loop.stop();
    await this.#queue.close();
  }

  /** Every scheduler sends every due time; the first has sent it. */
  #announce(): void {
    if (!this.#queue.isUp) return;
    const now = this.#clock.now();
    const tickets: Ticket[] = [];
    for (const { job, nextDue } of this.#engine.dueBefore(now + horizonMs)) {
      if (nextDue === null || nextDue <= now || this.#sent.get(job.name) === nextDue) continue;
      this.#sent.set(job.name, nextDue);
      tickets.push({ kind: 'due', job: job.name, due: nextDue, delayMs: nextDue - now });
    }
    this.#queue.send(tickets);
  }

  #carry(run: JobRun): boolean {
    if (!this.#queue.isUp || this.#clock.now() - run.availableAt >= patienceMs) return false;
    this.#queue.send([{ kind: 'run', run: run.id, attempts: run.attempts }]);
    return true;
  }

  async #arrived(ticket: Ticket): Promise<void> {
    if (ticket.kind === 'run') return this.#engine.take([ticket.run]);
    const made = await this.#engine.makeDueNamed(ticket.job);
    // The next one may be due before it is looked again.
    this.#announce();
    await this.#engine.take(made);
  }
}
