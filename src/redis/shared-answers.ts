import { hash, randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import { answerOf, compressed, inPieces } from '../core/answer-bytes.ts';
import { Places } from '../core/places.ts';
import type {
  Audience,
  CachedAnswer,
  CacheKey,
  CacheSelection,
  Freed,
  Heard,
  Purged,
  SharedAnswers,
  SharedLook,
  Teller,
  UnfinishedPurges,
  Word,
} from '../core/response-cache.ts';
import type { SealContext, Sealing } from '../core/sealing.ts';
import { Bells } from './bells.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';
import { purgeChannel, purgeList, Purges } from './purges.ts';
import { channelPrefix, hear, land, look } from './scripts.ts';
import type { Seen } from './sweeping.ts';
import { sweep, trimTenants } from './sweeping.ts';
import { pieceContext, Telling } from './telling.ts';
import { wordsOf } from './words.ts';

/** Before the name of every key; the number changes with the form of what is there. */
const prefix = 'mizan:cache:2';

/** How long another process' upstream call is waited for without a word from it, and how often it says one. In ms. */
const lease = { lengthMs: 2000, renewMs: 500 };

/** For how long who has asked listens, and at the latest asks again. In ms. */
const hearing = { lengthMs: 2000, againMs: 200 };

/** Pieces of another process' answer that are read at once. */
const most = 8;

/** Leases that are renewed in one question. */
const atOnce = 200;

/** How long an answer that is not kept is there for those who wait for it, in ms. */
const handedMs = 5000;

/** Answers that may wait to be sealed; what is more than that is not shared. */
const maxWaiting = 1000;

/** From this size on a value is compressed, in bytes. */
const leastCompressed = 1024;

/** The largest value that is left in Redis, in bytes. */
const largest = 8 * 1024 * 1024;

export interface SharedAnswersSettings {
  /** What a tenant has more than this is removed when it is cleaned; in bytes, `Infinity` for no such limit. */
  readonly maxBytesPerTenant: number;
  readonly unfinishedPurges: UnfinishedPurges;
  /** Told of a value that did not open. */
  readonly refused: () => void;
}

interface Landing {
  readonly key: CacheKey;
  readonly ticket: string;
  readonly answer: CachedAnswer | null;
  readonly isKept: boolean;
}

/**
 * Answers in Redis, each sealed for its tenant and key: whoever can write there can neither read one, nor change it, nor
 * put it in another's place. What doesn't open is not there.
 */
export class RedisAnswers implements SharedAnswers {
  readonly #redis: RedisConnection;
  readonly #sealing: Sealing;
  readonly #settings: SharedAnswersSettings;
  readonly #tags = new LRUCache<string, string>({ max: 1000 });
  readonly #landing: Landing[] = [];
  #isLanding: Promise<void> | null = null;
  /** Names this process to others. */
  readonly #node = randomUUID();
  /** The upstream calls of this process, by their tickets. */
  readonly #tellings = new Places<Telling>();
  readonly #bells = new Bells();
  /** Only while there is something to renew: an idle process is not to be woken for nothing. */
  #renewing: NodeJS.Timeout | null = null;
  readonly #purges: Purges;

  constructor(redis: RedisConnection, sealing: Sealing, settings: SharedAnswersSettings) {
    this.#redis = redis;
    this.#sealing = sealing;
    this.#settings = settings;
    this.#purges = new Purges(redis, {
      prefix,
      tagOf: (name) => this.#tag(name),
      unfinished: settings.unfinishedPurges,
    });
    redis.listen(
      {
        [`${channelPrefix}${this.#node}`]: (name) => this.#rung(name),
        [purgeChannel]: (note) => this.#purges.heard(note),
      },
      (isListening) => this.#purges.listens(isListening),
    );
  }

  async look(key: CacheKey, ticket: string, isWaiting: boolean, wantsNewer = false): Promise<SharedLook> {
    return this.#look(key, ticket, { isWaiting, value: wantsNewer ? 'old' : 'wanted' });
  }

  /** @param value `old`: it comes with the turn; `useless`: it isn't looked at. */
  async #look(
    key: CacheKey,
    ticket: string,
    { isWaiting, value: what }: { readonly isWaiting: boolean; readonly value: 'wanted' | 'old' | 'useless' },
  ): Promise<SharedLook> {
    const keys = this.#keysOf(key);
    const own = ticket === '' ? '' : this.#owned(ticket);
    const args = [
      own,
      lease.lengthMs,
      isWaiting ? 1 : 0,
      `${this.#node}-`,
      hearing.lengthMs,
      what === 'wanted' ? 0 : 1,
    ];
    const reply = await this.#ask((redis) => redis.callBuffer('EVAL', [look, 4, ...keys, ...args]));
    if (reply === away) return { found: null, turn: 'away' };
    const [which, said, value] = reply as [number, (Buffer | null)?, (Buffer | null)?];
    if (which === 3 || which === 4) {
      const old = what === 'old' && isThere(value) ? this.#opened(value, key) : null;
      const known = old === null ? {} : { old };
      return which === 3
        ? { found: null, turn: 'mine', ...known }
        : { found: null, turn: 'theirs', holder: String(said), ...known };
    }
    const found = isThere(said) ? this.#opened(said, key) : null;
    if (found !== null) return { found, forAll: which === 1 };
    // What does not open, or was purged, is not there.
    return this.#look(key, ticket, { isWaiting: false, value: 'useless' });
  }

  tell(key: CacheKey, ticket: string, audience: Audience): Teller {
    const [, , name, ears] = this.#keysOf(key);
    const own = this.#owned(ticket);
    const place = { key, ticket: own, lease: name, ears, pieces: piecesOf(name, own) };
    const telling = new Telling(
      { ...place, leaseMs: lease.lengthMs, node: this.#node },
      { redis: this.#redis, sealing: this.#sealing, audience, gaveUp: () => this.land(key, ticket, null, false) },
    );
    this.#tellings.set(ticket, telling);
    this.#renewing ??= setInterval(() => this.#renew(), lease.renewMs).unref();
    return telling;
  }

  async hear(
    key: CacheKey,
    { holder, upTo }: { readonly holder: string; readonly upTo: number },
    signal: AbortSignal,
  ): Promise<Heard> {
    const [, , name] = this.#keysOf(key);
    const bell = this.#bells.listen(name, hearing.againMs, signal);
    const heard = await this.#hearNow(key, holder, upTo);
    const isNews = heard === 'away' || heard.isBroken || heard.words.length > 0;
    if (!isNews) await bell.heard;
    bell.end();
    return isNews || signal.aborted ? heard : this.#hearNow(key, holder, upTo);
  }

  land(key: CacheKey, ticket: string, answer: CachedAnswer | null, isKept: boolean): void {
    this.#tellings.delete(ticket);
    const isTooMuch = this.#landing.length >= maxWaiting || (answer !== null && answer.body.length > largest);
    this.#landing.push({ key, ticket, answer: isTooMuch ? null : answer, isKept });
    this.#isLanding ??= this.#landAll().finally(() => {
      this.#isLanding = null;
    });
  }

  watch(purged: (isPurged: (key: CacheKey) => boolean, before: number) => void): void {
    this.#purges.watch(purged);
  }

  async purge(selection: CacheSelection): Promise<Purged> {
    return this.#purges.purge(selection);
  }

  /** Redis removes by itself what is too old. What has no time to live can only be something left behind. */
  async cleanup(signal: AbortSignal): Promise<Freed> {
    const isLeft = ({ name, ttl }: Seen): boolean => name !== purgeList && ttl === -1;
    const left = await sweep(this.#redis, { pattern: 'mizan:cache:*', isUseless: isLeft, signal });
    const maxBytes = this.#settings.maxBytesPerTenant;
    if (maxBytes === Infinity) return { entries: left.entries, bytes: left.bytes };
    const tenantOf = (name: string): string => name.split(':')[3] ?? '';
    const much = await trimTenants(this.#redis, { pattern: `${prefix}:*`, tenantOf, maxBytes, signal });
    return { entries: left.entries + much.entries, bytes: left.bytes + much.bytes };
  }

  async close(): Promise<void> {
    if (this.#renewing !== null) clearInterval(this.#renewing);
    this.#purges.close();
    await this.#isLanding;
  }

  async #ask(question: (redis: Redis) => Promise<unknown>): Promise<unknown> {
    return this.#redis.ask(question);
  }

  /** Seals and sends what has landed, an answer at a time, so that what is being answered goes on in between. */
  async #landAll(): Promise<void> {
    for (let landing = this.#landing.shift(); landing !== undefined; landing = this.#landing.shift()) {
      await new Promise((resolve) => setImmediate(resolve));
      const { key, ticket, answer, isKept } = landing;
      const sealed = answer === null ? null : await this.#sealed(answer, key);
      const forMs = answer === null ? 0 : isKept ? lifeOf(answer) : handedMs;
      const place = sealed === null || forMs <= 0 ? 0 : isKept ? 1 : 2;
      const args = [this.#owned(ticket), place, sealed ?? '', Math.max(1, Math.ceil(forMs))];
      void this.#ask((redis) => redis.callBuffer('EVAL', [land, 3, ...this.#keysOf(key).slice(0, 3), ...args]));
    }
  }

  async #sealed(answer: CachedAnswer, key: CacheKey): Promise<Buffer | null> {
    try {
      return this.#sealing.seal(await valueOf(answer), contextOf(key));
    } catch {
      return null;
    }
  }

  #opened(sealed: Buffer, key: CacheKey): CachedAnswer | null {
    let answer: CachedAnswer | null = null;
    try {
      answer = answerOf(this.#sealing.open(sealed, contextOf(key)));
    } catch {
      // Altered, moved, or sealed with a key that is not here.
    }
    if (answer === null) this.#settings.refused();
    return answer !== null && this.#purges.hasGone(key, answer.storedAt) ? null : answer;
  }

  async #hearNow(key: CacheKey, holder: string, upTo: number): Promise<Heard> {
    const [, , name, ears] = this.#keysOf(key);
    const args = [holder, `${this.#node}+`, hearing.lengthMs, upTo, most];
    const reply = await this.#ask((redis) =>
      redis.callBuffer('EVAL', [hear, 3, name, ears, piecesOf(name, holder), ...args]),
    );
    if (reply === away) return 'away';
    const [isHeld, pieces] = reply as [number, [id: Buffer, fields: [Buffer, Buffer]][]];
    const words: Word[] = [];
    let last = upTo;
    for (const [id, [, sealed]] of pieces) {
      const said = Number.parseInt(String(id), 10) === last + 1 ? this.#piece(sealed, key, holder, last + 1) : null;
      if (said === null) return { words, upTo: last, isHeld: isHeld === 1, isBroken: words.length === 0 };
      words.push(...said);
      last++;
    }
    return { words, upTo: last, isHeld: isHeld === 1, isBroken: false };
  }

  #piece(sealed: Buffer, key: CacheKey, holder: string, number: number): Word[] | null {
    let words: Word[] | null = null;
    try {
      words = wordsOf(this.#sealing.open(sealed, pieceContext(key, holder, number)));
    } catch {
      // As with answers.
    }
    if (words === null) this.#settings.refused();
    return words;
  }

  /** Something is new about a lease: of this process, or one that is listened to. */
  #rung(name: string): void {
    this.#bells.ring(name);
    for (const telling of this.#tellings.values()) if (telling.place.lease === name) void telling.look();
  }

  #renew(): void {
    const all = this.#tellings.values();
    if (all.length === 0 && this.#renewing !== null) {
      clearInterval(this.#renewing);
      this.#renewing = null;
    }
    for (let from = 0; from < all.length; from += atOnce) void this.#renewSome(all.slice(from, from + atOnce));
  }

  async #renewSome(tellings: readonly Telling[]): Promise<void> {
    const replies = await this.#redis.ask((redis) => {
      const asking = redis.pipeline();
      for (const telling of tellings) telling.renewal(asking);
      return asking.exec();
    });
    for (const [i, telling] of tellings.entries()) {
      telling.heard(replies === away ? away : replies?.[i]?.[1]);
    }
  }

  /** A ticket with the process that has it. */
  #owned(ticket: string): string {
    return `${this.#node}/${ticket}`;
  }

  /** All in one slot of a cluster. Names of tenants, agents and models are not to be read from them. */
  #keysOf({
    hash: digest,
    tenant,
    agent,
    model,
  }: CacheKey): [value: string, handed: string, lease: string, ears: string] {
    const name = `${prefix}:${this.#tag(tenant)}:${this.#tag(agent ?? '')}:${this.#tag(model)}:{${digest}}`;
    return [name, `${name}:handed`, `${name}:lease`, `${name}:ears`];
  }

  #tag(name: string): string {
    let tag = this.#tags.get(name);
    if (tag === undefined) this.#tags.set(name, (tag = hash('sha256', name, 'base64url').slice(0, 16)));
    return tag;
  }
}

/** Where the pieces of a call lie. */
function piecesOf(leaseName: string, holder: string): string {
  return `${leaseName}:${holder}`;
}

function isThere(value: Buffer | null | undefined): value is Buffer {
  return value !== null && value !== undefined;
}

function contextOf({ hash: row, tenant }: CacheKey): SealContext {
  return { tenant, purpose: 'cache', row };
}

/** How long it is of any use, in ms. */
function lifeOf({ storedAt, freshUntil, refreshUntil, rescueUntil }: CachedAnswer): number {
  return Math.max(freshUntil, refreshUntil, rescueUntil) - storedAt;
}

/** As it is sealed. */
async function valueOf(answer: CachedAnswer): Promise<Buffer> {
  const pieces = inPieces(answer);
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return length < leastCompressed ? Buffer.concat(pieces) : compressed(pieces);
}
