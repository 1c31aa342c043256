import type { Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { SetupError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';

/** Where the queue is. */
export interface QueuePlace {
  readonly url: Secret<string>;
  /** What the database is called, so that two that share a Redis don't get each other's jobs. */
  readonly name: string;
}

export interface QueueEvents {
  /** @param reason In Redis' own words or ours; holds no password. */
  away(reason: string): void;
  back(): void;
  /** It can be given something, for the first time or again. */
  up(): void;
}

/** Says that a job is due, or that a run can begin, at a time. It says nothing that the store doesn't know. */
export type Ticket =
  | { readonly kind: 'due'; readonly job: string; readonly at: number }
  | { readonly kind: 'run'; readonly run: string; readonly token: number; readonly at: number };

/** Tickets that are worked on at the same time by one process: as many as it may run. */
const concurrency = 16;

/** Tickets that are given to Redis in one go: it takes some ms for them. */
const mostAtOnce = 200;

/** How long Redis may take to take something in, in ms. */
const commandMs = 1000;

/**
 * How long a worker may show no sign of life until its ticket goes to another, and how often that is looked at; in ms.
 * Nobody waits for it: what is due, or is to be gone on with, is found in the store long before. And for how long a worker
 * waits at the most until it asks again, in s.
 */
const stalled = { lockMs: 30_000, everyMs: 30_000 };
const longestWaitS = 10;

/** The oldest Redis that this is made for. */
const leastVersion = '6.2.0';

/** How long the last words to Redis may take, in ms. */
const closingMs = 1000;

/** How often it is tried whether Redis takes something in again, in ms. */
const tryingMs = 1000;

/** What the queue is made of. @throws SetupError where it isn't installed: it comes with the package and the image. */
export async function loadQueue() {
  try {
    return await Promise.all([import('bullmq'), import('ioredis')]);
  } catch (error) {
    const remedy = 'npm install bullmq, or schedule.driver: local';
    throw new SetupError(`schedule.driver is bullmq, and BullMQ can’t be loaded; expected: ${remedy}`, error);
  }
}

/** BullMQ, with connections of its own: its worker blocks one, and neither may forget what was not answered in 25 ms. */
export class JobQueue {
  readonly #place: QueuePlace;
  readonly #events: QueueEvents;
  #queue: Queue | undefined;
  #worker: Worker | undefined;
  #asking: Redis | undefined;
  #clients: Redis[] = [];
  /** Resolves when all that was to be sent so far was. */
  #sending = Promise.resolve();
  #trying: NodeJS.Timeout | undefined;
  #isUp = false;
  #hasBeenTold = false;
  #isClosed = false;

  constructor(place: QueuePlace, events: QueueEvents) {
    this.#place = place;
    this.#events = events;
  }

  /** Whether Redis took what it was given last. */
  get isUp(): boolean {
    return this.#isUp && !this.#isClosed;
  }

  /**
   * Begins to connect, and waits for no answer.
   * @param work What is done with a ticket. It may come more than once. Resolves with whether it is done with.
   */
  async open(work: (ticket: Ticket) => Promise<boolean>): Promise<void> {
    if (this.#clients.length > 0) return;
    const [{ Queue: Tickets, Worker: Working, RedisConnection, WaitingError }, { Redis: Client }] = await loadQueue();
    const url = this.#place.url.reveal();
    const settings = {
      connectionName: 'mizan-jobs',
      retryStrategy: (times: number) => Math.min(100 * times, 1000),
      maxRetriesPerRequest: null,
    };
    const asking = new Client(url, { ...settings, enableOfflineQueue: false, commandTimeout: commandMs });
    const working = new Client(url, settings);
    this.#asking = asking;
    this.#clients = [asking, working];
    for (const client of this.#clients) client.on('error', (error: Error) => this.#lost(error.message));
    asking.on('close', () => this.#lost('the connection was closed'));
    asking.on('ready', () => this.#found());
    // It isn't asked for its version, nor scolded for the policy of its memory: what it drops is begun from the store.
    // Then this is taken for its version, and from 6 on a worker waits for fractions of a second.
    RedisConnection.minimumVersion = leastVersion;
    const shared = { prefix: this.#prefix, skipVersionCheck: true };
    this.#queue = new Tickets('jobs', { ...shared, connection: asking, skipMetasUpdate: true });
    this.#queue.on('error', (error) => this.#lost(error.message));
    const handle = async (job: Job, token: string | undefined): Promise<void> => {
      if (await work(job.data as Ticket)) return;
      await job.moveToWait(token);
      throw new WaitingError();
    };
    this.#worker = new Working('jobs', handle, {
      ...shared,
      connection: working,
      concurrency,
      lockDuration: stalled.lockMs,
      stalledInterval: stalled.everyMs,
      drainDelay: longestWaitS,
      // A ticket that comes back for the hundredth time does no harm, and one that is dropped is made up for.
      maxStalledCount: 100,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    this.#worker.on('error', (error) => this.#lost(error.message));
    if (asking.status === 'ready') this.#found();
  }

  /** Gives tickets to Redis; whether it takes them is seen at the next. @param now In ms since the Unix epoch. */
  send(tickets: readonly Ticket[], now: number): void {
    for (let from = 0; from < tickets.length; from += mostAtOnce) {
      const some = tickets.slice(from, from + mostAtOnce);
      this.#sending = this.#sending.then(() => this.#add(some, now));
    }
  }

  async #add(tickets: readonly Ticket[], now: number): Promise<void> {
    // What is not sent since Redis went away is asked for when it is back.
    if (this.#queue === undefined || !this.isUp) return;
    const adding = tickets.map((data) => ({
      name: data.kind,
      data,
      opts: {
        jobId: idOf(data),
        delay: Math.max(0, data.at - now),
        removeOnComplete: true,
        removeOnFail: true,
      },
    }));
    try {
      await this.#queue.addBulk(adding);
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : 'it takes nothing in');
    }
  }

  /** Asks for no further tickets. One that it has asked for may come yet; it is to be given back. */
  pause(): void {
    this.#worker?.pause(true).catch(() => undefined);
  }

  /** What it has taken in stays in Redis for the others. To be called when nothing goes on here any more. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise((resolve) => (timer = setTimeout(resolve, closingMs)));
    await Promise.race([this.#sending, enough]);
    // Tickets that are done with are taken away, so that they don't come again; not where Redis can't be told.
    const isByForce = !this.isUp;
    this.#isClosed = true;
    clearTimeout(this.#trying);
    const closing = Promise.allSettled([this.#worker?.close(isByForce), this.#queue?.close()]);
    await Promise.race([closing, enough]);
    clearTimeout(timer);
    for (const client of this.#clients) client.disconnect();
  }

  #lost(reason: string): void {
    if (this.#isClosed) return;
    this.#isUp = false;
    this.#tryLater();
    if (this.#hasBeenTold) return;
    this.#hasBeenTold = true;
    this.#events.away(reason);
  }

  /** A connection that holds says nothing when Redis answers again; and one that is full answers, but takes nothing in. */
  #tryLater(): void {
    this.#trying ??= setTimeout(() => {
      this.#trying = undefined;
      if (this.#isClosed || this.#isUp || this.#asking === undefined) return;
      this.#asking.set(`${this.#prefix}:trying`, '', 'PX', tryingMs).then(
        () => this.#found(),
        () => this.#tryLater(),
      );
    }, tryingMs).unref();
  }

  get #prefix(): string {
    return `mizan:jobs:{${this.#place.name}}`;
  }

  #found(): void {
    if (this.#isClosed || this.#isUp) return;
    this.#isUp = true;
    this.#events.up();
    if (!this.#hasBeenTold) return;
    this.#hasBeenTold = false;
    this.#events.back();
  }
}

/** The same for all who send the same. BullMQ wants no colons in it. */
function idOf(ticket: Ticket): string {
  return ticket.kind === 'due' ? `${encodeURIComponent(ticket.job)}@${ticket.at}` : `${ticket.run}@${ticket.token}`;
}
