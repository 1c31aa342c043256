import { randomUUID } from 'node:crypto';
import type { CacheKey, CacheSelection, Purged } from '../core/response-cache.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';
import { sweep } from './sweeping.ts';

/** What was purged lately, for those who did not do it. */
export const purgeList = 'mizan:cache:purges';

/** How often it is looked for purges, in ms, and how many are remembered for how long, in s. */
const lately = { everyMs: 1000, most: 100, forS: 86_400 };

/** How long whoever purges waits for it to be done, in ms. */
const patienceMs = 5000;

/** A purge as everybody is told of it: hashes of tenant, agent and model, `null` for any. */
interface Purge {
  readonly tags: readonly (string | null)[];
  /** What was stored by then is gone, in ms since the Unix epoch. */
  readonly before: number;
}

/**
 * What was purged. Nothing of it is given any more from the moment that a process knows of it, even where it is still in
 * Redis; and whoever purges goes on until Redis knows of it.
 */
export class Purges {
  readonly #redis: RedisConnection;
  readonly #prefix: string;
  readonly #tagOf: (name: string) => string;
  readonly #timer: NodeJS.Timeout;
  readonly #end = new AbortController();
  #purged: ((isPurged: (key: CacheKey) => boolean, before: number) => void) | null = null;
  /** All that are known, by their notes. */
  readonly #known = new Map<string, Purge>();
  /** Those of this process that are not done. */
  readonly #undone = new Set<string>();
  /** Those of them that are being done. */
  readonly #doing = new Set<string>();

  /** @param prefix Of the names of values. */
  constructor(redis: RedisConnection, prefix: string, tagOf: (name: string) => string) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#tagOf = tagOf;
    this.#timer = setInterval(() => void this.#look(), lately.everyMs).unref();
  }

  watch(purged: (isPurged: (key: CacheKey) => boolean, before: number) => void): void {
    this.#purged = purged;
  }

  /** Whether an answer was purged after it was stored. */
  hasGone(key: CacheKey, storedAt: number): boolean {
    for (const purge of this.#known.values()) if (storedAt <= purge.before && this.#isOf(key, purge)) return true;
    return false;
  }

  async purge({ tenant, agent, model }: CacheSelection): Promise<Purged> {
    const tags = [tenant, agent, model].map((name) => (name === undefined ? null : this.#tagOf(name)));
    const note = JSON.stringify({ tags, before: Date.now(), id: randomUUID() });
    this.#learn(note);
    this.#undone.add(note);
    this.#doing.add(note);
    const freed = { entries: 0, bytes: 0 };
    const until = performance.now() + patienceMs;
    do {
      const done = await this.#do(note);
      freed.entries += done.entries;
      freed.bytes += done.bytes;
      if (!done.complete) continue;
      this.#doing.delete(note);
      return { ...freed, complete: true };
    } while (performance.now() < until && !this.#end.signal.aborted);
    this.#doing.delete(note);
    return { ...freed, complete: false };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#end.abort();
  }

  /** Tells everybody, and removes it. */
  async #do(note: string): Promise<Purged> {
    const told = await this.#redis.ask((redis) =>
      redis
        .multi()
        .lrem(purgeList, 0, note)
        .rpush(purgeList, note)
        .ltrim(purgeList, -lately.most, -1)
        .expire(purgeList, lately.forS)
        .exec(),
    );
    if (told === away) await new Promise((resolve) => setTimeout(resolve, 100));
    if (told === away) return { entries: 0, bytes: 0, complete: false };
    const { tags } = this.#known.get(note) ?? { tags: [] };
    const pattern = `${this.#prefix}:${tags.map((tag) => tag ?? '*').join(':')}:*`;
    const swept = await sweep(this.#redis, { pattern, isUseless: () => true, signal: this.#end.signal });
    if (swept.complete) this.#undone.delete(note);
    return swept;
  }

  async #doAgain(note: string): Promise<void> {
    if (this.#doing.has(note)) return;
    this.#doing.add(note);
    await this.#do(note);
    this.#doing.delete(note);
  }

  async #look(): Promise<void> {
    const notes = await this.#redis.ask((redis) => redis.lrange(purgeList, 0, -1));
    if (notes === away) return;
    for (const note of notes) {
      const purge = this.#learn(note);
      if (purge !== null) this.#purged?.((key) => this.#isOf(key, purge), purge.before);
    }
    const there = new Set(notes);
    for (const note of this.#known.keys()) {
      if (!there.has(note) && !this.#undone.has(note)) this.#known.delete(note);
    }
    // Also one that is in the list: it may have come there late.
    for (const note of this.#undone) void this.#doAgain(note);
  }

  /** @returns `null` for one that is known already, or none. */
  #learn(note: string): Purge | null {
    if (this.#known.has(note)) return null;
    try {
      const { tags, before } = JSON.parse(note) as Purge;
      const purge = { tags: [...tags], before };
      this.#known.set(note, purge);
      return purge;
    } catch {
      // Not ours.
      return null;
    }
  }

  #isOf({ tenant, agent, model }: CacheKey, { tags }: Purge): boolean {
    return [tenant, agent ?? '', model].every((name, i) => tags[i] === null || tags[i] === this.#tagOf(name));
  }
}
