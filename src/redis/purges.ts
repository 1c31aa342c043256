import { randomUUID } from 'node:crypto';
import type { CacheKey, CacheSelection, Purged, UnfinishedPurges } from '../core/response-cache.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';
import { sweep } from './sweeping.ts';

/** What was purged lately, for those who did not do it. */
export const purgeList = 'mizan:cache:purges';

/** Where a purge is told as it is begun. */
export const purgeChannel = 'mizan:cache:purged';

/** How many purges are remembered for how long, in s. */
const lately = { most: 100, forS: 86_400 };

/**
 * How often it is looked for purges, in ms: in vain, as long as this process hears of each as it is begun; so then only
 * often enough to make up for what was published and did not arrive.
 */
const looking = { oftenMs: 1000, seldomMs: 10_000 };

/** How long whoever purges waits for it to be done, in ms. */
const patienceMs = 5000;

/** What another process has begun and not finished in so long is gone on with, in ms. */
const takenOverMs = 8000;

/** For how long whoever purged, or heard of it, looks often: whether everybody can still be told of it, and it is done. */
const retoldMs = 60_000;

/** A purge as everybody is told of it: hashes of tenant, agent and model, `null` for any. */
interface Purge {
  readonly tags: readonly (string | null)[];
  /** What was stored by then is gone, in ms since the Unix epoch. */
  readonly before: number;
}

interface PurgesPlace {
  /** Of the names of values. */
  readonly prefix: string;
  readonly tagOf: (name: string) => string;
  readonly unfinished: UnfinishedPurges;
}

/**
 * What was purged. Nothing of it is given any more from the moment that a process knows of it, even where it is still in
 * Redis; and whoever purges goes on until it is gone from there. What it does not come to is noted beside everything else
 * that this process keeps, and done by whoever runs there next.
 */
export class Purges {
  readonly #redis: RedisConnection;
  readonly #place: PurgesPlace;
  #timer: NodeJS.Timeout | undefined;
  #isListening = false;
  /** Until when it is looked often, on the monotonic clock. */
  #alertUntil = Number.NEGATIVE_INFINITY;
  readonly #end = new AbortController();
  #purged: ((isPurged: (key: CacheKey) => boolean, before: number) => void) | null = null;
  /** All that are known, by their notes. */
  readonly #known = new Map<string, Purge>();
  /** Those of this process that are not done. */
  readonly #undone = new Set<string>();
  /** Those that are done, and until when they are told again where that is lost, on the monotonic clock. */
  readonly #retold = new Map<string, number>();
  /** Those of them that are being done. */
  readonly #doing = new Set<string>();

  constructor(redis: RedisConnection, place: PurgesPlace) {
    this.#redis = redis;
    this.#place = place;
    for (const note of this.#noted()) if (this.#learn(note) !== null) this.#undone.add(note);
    this.#plan();
  }

  /** Whether what is published is heard from now on; what was before may not have been. */
  listens(isListening: boolean): void {
    if (isListening === this.#isListening) return;
    this.#isListening = isListening;
    this.#lookNow();
  }

  /** @param note As it was published. */
  heard(note: string): void {
    this.#hear(note);
    // Whoever has begun it may not come to its end, or Redis may lose it.
    this.#beAlert();
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
    const tags = [tenant, agent, model].map((name) => (name === undefined ? null : this.#place.tagOf(name)));
    const note = JSON.stringify({ tags, before: Date.now(), id: randomUUID() });
    this.#place.unfinished.add(note);
    this.#beAlert();
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
    this.#end.abort();
    clearTimeout(this.#timer);
  }

  #beAlert(): void {
    const wasQuiet = this.#isQuiet;
    this.#alertUntil = performance.now() + retoldMs;
    // A look that comes soon isn't put off.
    if (wasQuiet) this.#plan();
  }

  get #isQuiet(): boolean {
    const isHeard = this.#isListening && this.#redis.trouble === null;
    const isDone = this.#undone.size === 0 && this.#retold.size === 0;
    return isHeard && isDone && performance.now() > this.#alertUntil;
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#end.signal.aborted) return;
    const afterMs = this.#isQuiet ? looking.seldomMs : looking.oftenMs;
    this.#timer = setTimeout(() => this.#lookNow(), afterMs).unref();
  }

  #lookNow(): void {
    this.#plan();
    if (!this.#end.signal.aborted) void this.#look();
  }

  /** Tells everybody, and removes it. */
  async #do(note: string): Promise<Purged> {
    if (!(await this.#tell(note))) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return { entries: 0, bytes: 0, complete: false };
    }
    const { tags } = this.#known.get(note) ?? { tags: [] };
    const pattern = `${this.#place.prefix}:${tags.map((tag) => tag ?? '*').join(':')}:*`;
    const swept = await sweep(this.#redis, { pattern, isUseless: () => true, signal: this.#end.signal });
    if (swept.complete) this.#isDone(note);
    return swept;
  }

  async #tell(note: string): Promise<boolean> {
    const told = await this.#redis.ask((redis) =>
      redis
        .multi()
        .lrem(purgeList, 0, note)
        .rpush(purgeList, note)
        .ltrim(purgeList, -lately.most, -1)
        .expire(purgeList, lately.forS)
        .exec(),
    );
    if (told === away) return false;
    // Apart from the list: who may not publish, has told everybody all the same.
    void this.#redis.ask((redis) => redis.publish(purgeChannel, note));
    return true;
  }

  #isDone(note: string): void {
    try {
      this.#place.unfinished.remove(note);
    } catch {
      // The database was busy: then it is done once more, and there is nothing left to do.
      return;
    }
    this.#undone.delete(note);
    this.#retold.set(note, performance.now() + retoldMs);
  }

  async #doAgain(note: string): Promise<void> {
    if (this.#doing.has(note)) return;
    this.#doing.add(note);
    await this.#do(note);
    this.#doing.delete(note);
  }

  /** What was begun here, or by others who share the data with this process, and is not done. */
  #noted(): readonly string[] {
    try {
      return this.#place.unfinished.all();
    } catch {
      // The database is not there at the moment; whoever has begun something goes on with it.
      return [];
    }
  }

  async #look(): Promise<void> {
    const noted = this.#noted();
    if (noted.length > 0) this.#beAlert();
    for (const note of noted) {
      const before = this.#hear(note);
      if (before !== undefined && Date.now() - before > takenOverMs) this.#undone.add(note);
    }
    const notes = await this.#redis.ask((redis) => redis.lrange(purgeList, 0, -1));
    if (notes === away) return;
    for (const note of notes) this.#hear(note);
    const there = new Set(notes);
    this.#retell(there);
    const isOpen = new Set([...noted, ...this.#undone, ...this.#retold.keys()]);
    for (const note of this.#known.keys()) if (!there.has(note) && !isOpen.has(note)) this.#known.delete(note);
    // Also one that is in the list: it may have come there late.
    for (const note of this.#undone) void this.#doAgain(note);
  }

  /** A Redis that has lost what it was told is told again, so that everybody hears of it who is a little late. */
  #retell(there: ReadonlySet<string>): void {
    for (const [note, until] of this.#retold) {
      if (performance.now() > until) this.#retold.delete(note);
      else if (!there.has(note) && there.size < lately.most) void this.#tell(note);
    }
  }

  /** @returns Up to when that was stored which was purged; `undefined` for a note that is none. */
  #hear(note: string): number | undefined {
    const purge = this.#learn(note);
    if (purge !== null) this.#purged?.((key) => this.#isOf(key, purge), purge.before);
    return this.#known.get(note)?.before;
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
    return [tenant, agent ?? '', model].every((name, i) => tags[i] === null || tags[i] === this.#place.tagOf(name));
  }
}
