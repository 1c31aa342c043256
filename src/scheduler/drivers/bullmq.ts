import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';
import type { JobRun } from '../../core/jobs.ts';
import type { Known } from '../catalogue.ts';
import type { Driver } from '../contract.ts';
import { DueTimes } from '../due-times.ts';
import type { Engine } from '../engine.ts';
import type { QueueEvents, QueuePlace, Ticket } from './job-queue.ts';
import { JobQueue } from './job-queue.ts';
import { LocalDriver } from './local.ts';

/** How far ahead due times are sent to Redis, in ms. */
const horizonMs = 10_000;

/** How long Redis may take to bring what is due, before it is begun without it; in ms. */
const usualPatienceMs = 2000;

export interface BullmqSettings {
  readonly clock: Clock;
  /** How long runs may take to finish when it stops, in ms. */
  readonly graceMs: number;
  readonly place: QueuePlace;
  readonly events: Pick<QueueEvents, 'away' | 'back'>;
  /** How long Redis may take to bring what is due, before it is begun without it; in ms. 2000 where nothing is said. */
  readonly patienceMs?: number;
}

/** A due time that is to be sent. */
interface Sending {
  readonly known: Known;
  readonly nextDue: number | null;
  /** Whether it is sent though it has come already: nobody else may have sent it before. */
  readonly isOurs: boolean;
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
  readonly #patienceMs: number;
  readonly #stopping = new AbortController();
  /** Due times that were not sent yet. */
  #toSend = this.#nothing();

  constructor(engine: Engine, { clock, graceMs, place, events, patienceMs = usualPatienceMs }: BullmqSettings) {
    this.#engine = engine;
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#queue = new JobQueue(place, {
      ...events,
      up: () => {
        // It may have forgotten what it was given, or not been there to be given anything.
        this.#sendAll();
        this.#loop.poke();
      },
    });
    engine.catalogue.onDue = (known, isOurs) => this.#offer(known, isOurs);
    engine.onWaiting = ({ run, token, at }) => this.#sendRun({ kind: 'run', run, token, at });
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
    this.#stopping.abort();
    this.#queue.pause();
    await this.#loop.stop();
    await this.#queue.close();
  }

  #nothing(): DueTimes<Sending> {
    return new DueTimes(({ known, nextDue }) => known.nextDue === nextDue && this.#engine.catalogue.isCurrent(known));
  }

  #sendAll(): void {
    this.#toSend = this.#nothing();
    for (const known of this.#engine.catalogue.all()) this.#offer(known, true);
  }

  #offer(known: Known, isOurs: boolean): void {
    // Once it is up, all are offered.
    if (!this.#queue.isUp) return;
    this.#toSend.add({ known, nextDue: known.nextDue, isOurs }, this.#engine.catalogue.size);
  }

  /** Every scheduler sends every due time; the first has sent it. */
  #announce(): void {
    if (!this.#queue.isUp) return;
    const now = this.#clock.now();
    const tickets: Ticket[] = [];
    for (const { known, nextDue, isOurs } of this.#toSend.take(now + horizonMs)) {
      // What others have brought about is theirs to send, where it has come by now.
      if (nextDue !== null && (nextDue > now || isOurs)) {
        tickets.push({ kind: 'due', job: known.job.name, at: nextDue });
      }
    }
    this.#queue.send(tickets, now);
  }

  #sendRun(ticket: Ticket): void {
    if (this.#queue.isUp) this.#queue.send([ticket], this.#clock.now());
  }

  #carry({ id, lease, availableAt }: JobRun): boolean {
    if (!this.#queue.isUp || this.#clock.now() - availableAt >= this.#patienceMs) return false;
    this.#sendRun({ kind: 'run', run: id, token: lease.token, at: availableAt });
    return true;
  }

  /** @returns Whether it is done with; else somebody else should have it. */
  async #arrived(ticket: Ticket): Promise<boolean> {
    if (!(await this.#isTime(ticket))) return false;
    if (ticket.kind === 'run') await this.#engine.take([ticket.run]);
    else {
      const made = await this.#engine.makeDueNamed(ticket.job);
      // The next one may be due before it is looked again.
      this.#announce();
      await this.#engine.take(made);
    }
    return true;
  }

  /** Waits where this clock is behind the one of whoever sent it. */
  async #isTime({ at }: Ticket): Promise<boolean> {
    const { signal } = this.#stopping;
    try {
      for (let early = at - this.#clock.now(); early > 0 && early < horizonMs; early = at - this.#clock.now()) {
        await wait(early, undefined, { signal });
      }
    } catch {
      // It is told below.
    }
    return !signal.aborted;
  }
}
