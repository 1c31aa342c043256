import { hash, randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import type {
  Audience,
  CachedAnswer,
  CacheKey,
  CacheSelection,
  Freed,
  Heard,
  SharedAnswers,
  SharedLook,
  Teller,
  Word,
} from '../core/response-cache.ts';
import type { SealContext, Sealing } from '../core/sealing.ts';
import { Bells } from './bells.ts';
import { read, written } from './cached-value.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';
import { channelPrefix, hear, land, look } from './scripts.ts';
import { pieceContext, Telling } from './telling.ts';
import { wordsOf } from './words.ts';

/** Before the name of every key; the number changes with the form of what is there. */
const prefix = 'mizan:cache:1';

/** What was purged lately, for those who did not do it. */
const purgeList = 'mizan:cache:purges';

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

/** How often it is looked for purges, in ms, and how many are remembered for how long, in s. */
const purges = { everyMs: 1000, most: 100, forS: 3600 };

/** Answers that may wait to be sealed; what is more than that is not shared. */
const maxWaiting = 1000;

/** The largest value that is left in Redis, in bytes. */
const largest = 8 * 1024 * 1024;

/** Keys that are looked at in one step of a cleaning. */
const step = 200;

export interface SharedAnswersSettings {
  /** What a tenant has more than this is removed when it is cleaned; in bytes, `Infinity` for no such limit. */
  readonly maxBytesPerTenant: number;
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
  readonly #tellings = new Map<string, Telling>();
  readonly #bells = new Bells();
  readonly #timers: NodeJS.Timeout[];
  #purged: ((isPurged: (key: CacheKey) => boolean, before: number) => void) | null = null;
  /** The purges that were heeded already. */
  #heeded = new Set<string>();

  constructor(redis: RedisConnection, sealing: Sealing, settings: SharedAnswersSettings) {
    this.#redis = redis;
    this.#sealing = sealing;
    this.#settings = settings;
    this.#timers = [
      setInterval(() => this.#renew(), lease.renewMs).unref(),
      setInterval(() => void this.#heedPurges(), purges.everyMs).unref(),
    ];
    redis.listen(`${channelPrefix}${this.#node}`, (name) => this.#rung(name));
  }

  async look(key: CacheKey, ticket: string, isWaiting: boolean): Promise<SharedLook> {
    const keys = this.#keysOf(key);
    const own = ticket === '' ? '' : this.#owned(ticket);
    const args = [own, lease.lengthMs, isWaiting ? 1 : 0, `${this.#node}-`, hearing.lengthMs];
    const reply = await this.#ask((redis) => redis.callBuffer('EVAL', [look, 4, ...keys, ...args]));
    if (reply === away) return { found: null, turn: 'away' };
    const [what, said] = reply as [number, Buffer?];
    if (what === 4) return { found: null, turn: 'theirs', holder: String(said) };
    const found = said === undefined ? null : this.#opened(said, key);
    return found === null ? { found: null, turn: 'mine' } : { found, forAll: what === 1 };
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
    this.#purged = purged;
  }

  async purge(selection: CacheSelection): Promise<Freed> {
    const tags = [selection.tenant, selection.agent, selection.model].map((name) =>
      name === undefined ? null : this.#tag(name),
    );
    const note = JSON.stringify({ tags, before: Date.now(), id: randomUUID() });
    this.#heeded.add(note);
    await this.#ask((redis) =>
      redis.multi().rpush(purgeList, note).ltrim(purgeList, -purges.most, -1).expire(purgeList, purges.forS).exec(),
    );
    const pattern = `${prefix}:${tags.map((tag) => tag ?? '*').join(':')}:*`;
    return this.#sweep(pattern, () => true, new AbortController().signal);
  }

  /** Redis removes by itself what is too old. What has no time to live can only be something left behind. */
  async cleanup(signal: AbortSignal): Promise<Freed> {
    const byTenant = new Map<string, number>();
    const { maxBytesPerTenant } = this.#settings;
    return this.#sweep(
      'mizan:cache:*',
      ({ name, bytes, ttl }) => {
        if (name === purgeList) return false;
        if (ttl === -1) return true;
        const tenant = name.split(':')[3] ?? '';
        const sum = (byTenant.get(tenant) ?? 0) + bytes;
        if (sum > maxBytesPerTenant) return true;
        byTenant.set(tenant, sum);
        return false;
      },
      signal,
    );
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#isLanding;
  }

  async #ask(question: (redis: Redis) => Promise<unknown>): Promise<unknown> {
    return this.#redis.ask(question);
  }

  /** Looks at the keys of a pattern in small steps and removes some. What Redis doesn't answer in time is left. */
  async #sweep(
    pattern: string,
    isUseless: (key: { readonly name: string; readonly bytes: number; readonly ttl: number }) => boolean,
    signal: AbortSignal,
  ): Promise<Freed> {
    let cursor = '0';
    const freed = { entries: 0, bytes: 0 };
    do {
      const at = cursor;
      const scanned = await this.#redis.ask((redis) => redis.scan(at, 'MATCH', pattern, 'COUNT', step));
      if (scanned === away) break;
      const [next, names] = scanned;
      cursor = next;
      if (names.length === 0) continue;
      const facts = await this.#redis.ask((redis) => {
        const asking = redis.pipeline();
        for (const name of names) asking.call('STRLEN', name).pttl(name);
        return asking.exec();
      });
      if (facts === away || facts === null) break;
      const keys = names.map((name, i) => ({
        name,
        bytes: Number(facts[2 * i]?.[1]) || 0,
        ttl: Number(facts[2 * i + 1]?.[1]),
      }));
      const useless = keys.filter(isUseless);
      if (useless.length === 0) continue;
      const removed = await this.#redis.ask((redis) => redis.unlink(...useless.map(({ name }) => name)));
      if (removed === away) break;
      freed.entries += useless.length;
      freed.bytes += useless.reduce((sum, { bytes }) => sum + bytes, 0);
    } while (cursor !== '0' && !signal.aborted);
    return freed;
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
      return this.#sealing.seal(await written(answer), contextOf(key));
    } catch {
      return null;
    }
  }

  #opened(sealed: Buffer, key: CacheKey): CachedAnswer | null {
    let answer: CachedAnswer | null = null;
    try {
      answer = read(this.#sealing.open(sealed, contextOf(key)));
    } catch {
      // Altered, moved, or sealed with a key that is not here.
    }
    if (answer === null) this.#settings.refused();
    return answer;
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
    const all = [...this.#tellings.values()];
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

  async #heedPurges(): Promise<void> {
    const notes = await this.#redis.ask((redis) => redis.lrange(purgeList, 0, -1));
    if (notes === away) return;
    for (const note of notes.filter((each) => !this.#heeded.has(each))) this.#heed(note);
    this.#heeded = new Set(notes);
  }

  #heed(note: string): void {
    try {
      const { tags, before } = JSON.parse(note) as { readonly tags: readonly unknown[]; readonly before: number };
      const isPurged = ({ tenant, agent, model }: CacheKey): boolean =>
        [tenant, agent ?? '', model].every((name, i) => tags[i] === null || tags[i] === this.#tag(name));
      this.#purged?.(isPurged, before);
    } catch {
      // Not ours.
    }
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

function contextOf({ hash: row, tenant }: CacheKey): SealContext {
  return { tenant, purpose: 'cache', row };
}

/** How long it is of any use, in ms. */
function lifeOf({ storedAt, freshUntil, refreshUntil, rescueUntil }: CachedAnswer): number {
  return Math.max(freshUntil, refreshUntil, rescueUntil) - storedAt;
}
