import type { Redis } from 'ioredis';
import type { Secret } from '../core/secret.ts';
import { Breaker } from './breaker.ts';

/** In the place of an answer: Redis was not asked, or did not answer in time. */
export const away = Symbol('redis away');

/** Redis answered, in time, that it won't. */
const refused = Symbol('redis refused');

/** What happens to the connection, for the log. */
export interface RedisEvents {
  /** @param reason In Redis' own words or ours; holds no password. */
  away(reason: string): void;
  back(): void;
  /** It answers, and won't do something: full, read-only, no right to. Told once a minute at the most. */
  refused(reason: string): void;
}

/** How long an answer may take, in ms. */
const deadlineMs = 25;

/** How often it is looked whether Redis is back, in ms. */
const probeMs = 100;

/** A connection that has not answered for this long is given up for a new one, in ms. */
const silentMs = 1000;

/** Between two tellings of a refusal, in ms. */
const refusalMs = 60_000;

/** How long is waited between two attempts to connect, in ms: at first, and at the most. */
const reconnectMs = { first: 50, most: 1000 };

/**
 * One connection to Redis, which never makes anybody wait: a question is answered within {@link deadlineMs}, or `away`
 * is. After a few such in a row, nothing is asked at all until Redis has answered twice in time; that is tried beside
 * the requests. Nobody waits for the first connection either: until it stands, Redis is away.
 */
export class RedisConnection {
  readonly #client: Redis;
  readonly #events: RedisEvents;
  readonly #breaker = new Breaker();
  /** Only while Redis is away: an idle process is not to be woken for nothing. */
  #probing: NodeJS.Timeout | undefined;
  readonly #listeners: Redis[] = [];
  #trouble: string | null = 'not connected yet';
  #toldTrouble = false;
  #unanswered = 0;
  #losses = 0;
  #isProbing = false;
  #isClosed = false;
  #answeredAt = performance.now();
  #refusedAt = Number.NEGATIVE_INFINITY;

  private constructor(client: Redis, events: RedisEvents) {
    this.#client = client;
    this.#events = events;
    client.on('error', (error: Error) => this.#lost(error.message));
    client.on('close', () => this.#lost('the connection was closed'));
    client.on('ready', () => void this.#probe());
    this.#probeOften();
    client.connect().catch(() => {
      // Told by the `error` event, and tried again by the client.
    });
  }

  /** Starts to connect, and comes back before that is done. */
  static async open(url: Secret<string>, events: RedisEvents): Promise<RedisConnection> {
    const { Redis: Client } = await import('ioredis');
    const client = new Client(url.reveal(), {
      lazyConnect: true,
      // What was not answered is forgotten: it must not happen late, when nobody expects it any more.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2000,
      retryStrategy: (times) => Math.min(reconnectMs.first * times, reconnectMs.most),
      connectionName: 'mizan',
    });
    return new RedisConnection(client, events);
  }

  /** Why nothing is asked at the moment; `null` where Redis answers. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** How often it went away: of what was asked before, nobody knows what was done. */
  get losses(): number {
    return this.#losses;
  }

  /** Questions that were not answered in time, refused, or not asked at all because Redis is away. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /**
   * Asks Redis something.
   * @param question Sends one command, script or pipeline.
   * @param patienceMs How long its answer may take: less than usual for who has waited already.
   * @returns `away` where Redis can't be reached, is too slow or refuses.
   */
  async ask<T>(question: (client: Redis) => Promise<T>, patienceMs: number = deadlineMs): Promise<T | typeof away> {
    if (this.#trouble !== null) {
      this.#unanswered++;
      return away;
    }
    const answer = await this.#inTime(question, Math.min(patienceMs, deadlineMs));
    if (answer === refused || answer === away) this.#unanswered++;
    if (answer === refused) return away;
    if (this.#trouble === null && this.#breaker.noted(answer !== away) === 'open') {
      this.#lost(`slower than ${deadlineMs} ms`);
    }
    return answer;
  }

  /**
   * Listens to channels, on a connection of its own, for as long as this one is not closed. What is published while
   * that one is away is not heard.
   * @param changed Told whenever it begins to listen to all of them, and whenever it no longer does.
   */
  listen(
    channels: Readonly<Record<string, (message: string) => void>>,
    changed: (isListening: boolean) => void = () => undefined,
  ): void {
    const client = this.#client.duplicate({ connectionName: 'mizan-listener', autoResubscribe: false });
    this.#listeners.push(client);
    client.on('error', () => {
      // The other connection says what is the matter.
    });
    client.on('close', () => changed(false));
    client.on('ready', () => {
      client.subscribe(...Object.keys(channels)).then(
        () => changed(true),
        () => changed(false),
      );
    });
    client.on('message', (channel, message) => channels[channel]?.(message));
    client.connect().catch(() => {});
  }

  /** Ends it. Questions after that are answered by `away`. */
  close(): void {
    this.#isClosed = true;
    this.#trouble = 'closed';
    clearInterval(this.#probing);
    for (const listener of this.#listeners) listener.disconnect();
    this.#client.disconnect();
  }

  #inTime<T>(
    question: (client: Redis) => Promise<T>,
    patienceMs: number = deadlineMs,
  ): Promise<T | typeof away | typeof refused> {
    const { promise, resolve } = Promise.withResolvers<T | typeof away | typeof refused>();
    // The timer may be late because this process was busy: what has arrived by then is read first.
    const timer = setTimeout(() => setImmediate(resolve, away), patienceMs);
    question(this.#client).then(
      (value) => {
        clearTimeout(timer);
        this.#answeredAt = performance.now();
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        resolve(this.#isRefusal(error) ? refused : away);
      },
    );
    return promise;
  }

  /** An answer too, though not the one that was hoped for: Redis is there, and in time. */
  #isRefusal(error: unknown): boolean {
    if (!(error instanceof Error) || error.name !== 'ReplyError') return false;
    const now = performance.now();
    this.#answeredAt = now;
    if (now - this.#refusedAt > refusalMs) {
      this.#refusedAt = now;
      this.#events.refused(error.message);
    }
    return true;
  }

  #probeOften(): void {
    this.#probing ??= setInterval(() => void this.#probe(), probeMs).unref();
  }

  #lost(reason: string): void {
    if (this.#isClosed) return;
    this.#breaker.open();
    if (this.#trouble === null) this.#losses++;
    this.#trouble = reason;
    this.#probeOften();
    if (this.#toldTrouble) return;
    this.#toldTrouble = true;
    this.#events.away(reason);
  }

  /** While Redis is away, and only then: asks it how it is, one question at a time. */
  async #probe(): Promise<void> {
    if (this.#trouble === null || this.#isProbing || this.#isClosed) return;
    if (this.#client.status !== 'ready') return;
    if (performance.now() - this.#answeredAt > silentMs) {
      this.#answeredAt = performance.now();
      this.#client.disconnect(true);
      return;
    }
    this.#isProbing = true;
    let answer: unknown;
    do answer = await this.#inTime((client) => client.ping());
    while (this.#breaker.noted(answer === 'PONG') === 'open' && answer === 'PONG');
    this.#isProbing = false;
    if (answer !== 'PONG' || this.#isClosed) return;
    this.#trouble = null;
    clearInterval(this.#probing);
    this.#probing = undefined;
    if (!this.#toldTrouble) return;
    this.#toldTrouble = false;
    this.#events.back();
  }
}
