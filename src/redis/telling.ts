import type { ChainableCommander, Redis } from 'ioredis';
import type { Audience, CacheKey, Teller, Word } from '../core/response-cache.ts';
import type { SealContext, Sealing } from '../core/sealing.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';
import { append, renew } from './scripts.ts';
import { frameOf, pieceOf } from './words.ts';

/** How long what is said lies in Redis after the last of it, in ms. */
const keptMs = 10_000;

/** Without an answer of Redis for so long, nobody is told any more, in ms. */
const patienceMs = 3000;

/** Between two attempts to tell, in ms. */
const againMs = 50;

/** What is said in one piece, and what may wait to be; and what lies in Redis for those who are slow. In bytes. */
const sizes = { piece: 64 * 1024, waiting: 8 * 1024 * 1024, kept: 8 * 1024 * 1024 };

/** Where it is told. */
export interface TellingPlace {
  readonly key: CacheKey;
  /** With the process that has it. */
  readonly ticket: string;
  readonly lease: string;
  readonly ears: string;
  readonly pieces: string;
  /** How long the lease lasts, in ms. */
  readonly leaseMs: number;
  /** This process: it does not listen to itself. */
  readonly node: string;
}

/** What the pieces of a call are sealed for: none opens in another's place. */
export function pieceContext(key: CacheKey, ticket: string, number: number): SealContext {
  return { tenant: key.tenant, purpose: 'cache', row: `${key.hash}/${ticket}/${number}` };
}

/** One upstream call on its way to other processes, piece by piece, each until Redis has it. */
export class Telling implements Teller {
  readonly place: TellingPlace;
  readonly #redis: RedisConnection;
  readonly #sealing: Sealing;
  readonly #audience: Audience;
  readonly #gaveUp: () => void;
  #frames: Buffer[] = [];
  #waiting = 0;
  #number = 0;
  /** The sizes of the pieces that are still there, and all together. */
  readonly #kept: number[] = [];
  #keptBytes = 0;
  #isSaying = false;
  #isOver = false;
  #answeredAt = performance.now();

  /** @param gaveUp Nobody can be told any more: the lease is to be given back. */
  constructor(
    place: TellingPlace,
    outside: {
      readonly redis: RedisConnection;
      readonly sealing: Sealing;
      readonly audience: Audience;
      readonly gaveUp: () => void;
    },
  ) {
    this.place = place;
    this.#redis = outside.redis;
    this.#sealing = outside.sealing;
    this.#audience = outside.audience;
    this.#gaveUp = outside.gaveUp;
  }

  say(word: Word): void {
    if (this.#isOver) return;
    const frame = frameOf(word);
    this.#frames.push(frame);
    this.#waiting += frame.length;
    if (this.#waiting > sizes.waiting) this.#giveUp();
    else if (!this.#isSaying) void this.#sayAll();
  }

  async look(): Promise<void> {
    this.heard(await this.#redis.ask((redis) => this.renewal(redis)));
  }

  /** Renews the lease, and asks who listens. */
  renewal<T extends Redis | ChainableCommander>(redis: T): ReturnType<T['call']> {
    const { lease, ears, ticket, leaseMs } = this.place;
    return redis.call('EVAL', [renew, 2, lease, ears, ticket, leaseMs]) as ReturnType<T['call']>;
  }

  /** @param members Who listens, as Redis has them. */
  heard(members: unknown): void {
    if (!Array.isArray(members)) {
      if (performance.now() - this.#answeredAt > patienceMs) this.#audience.changed(false, false);
      return;
    }
    this.#answeredAt = performance.now();
    const others = members.map(String).filter((member) => member.slice(0, -1) !== this.place.node);
    this.#audience.changed(
      others.length > 0,
      others.some((member) => member.endsWith('+')),
    );
  }

  /** Everything that is said in one turn, or while Redis has not answered yet, goes together. */
  async #sayAll(): Promise<void> {
    this.#isSaying = true;
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#frames.length > 0 && !this.#isOver) {
      const sealed = await this.#nextPiece();
      if (sealed === null || !(await this.#send(sealed))) {
        this.#giveUp();
        break;
      }
    }
    this.#isSaying = false;
  }

  async #nextPiece(): Promise<Buffer | null> {
    let bytes = 0;
    let count = 0;
    while (count < this.#frames.length && bytes < sizes.piece) bytes += this.#frames[count++]?.length ?? 0;
    const frames = this.#frames.splice(0, count);
    this.#waiting -= bytes;
    this.#number++;
    try {
      return this.#sealing.seal(await pieceOf(frames), pieceContext(this.place.key, this.place.ticket, this.#number));
    } catch {
      return null;
    }
  }

  /** Until Redis has it. */
  async #send(sealed: Buffer): Promise<boolean> {
    const { pieces, ears, lease } = this.place;
    this.#kept.push(sealed.length);
    this.#keptBytes += sealed.length;
    while (this.#keptBytes > sizes.kept) this.#keptBytes -= this.#kept.shift() ?? 0;
    const first = this.#number - this.#kept.length + 1;
    const args = [this.#number, sealed, keptMs, first];
    const since = performance.now();
    for (;;) {
      const reply = await this.#redis.ask((redis) => redis.call('EVAL', [append, 3, pieces, ears, lease, ...args]));
      this.heard(reply);
      if (reply !== away) return true;
      if (this.#isOver || performance.now() - since > patienceMs) return false;
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }

  #giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#frames = [];
    this.#waiting = 0;
    this.#gaveUp();
    this.#audience.changed(false, false);
  }
}
