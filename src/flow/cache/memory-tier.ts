import { LRUCache } from 'lru-cache';
import { answerOf, compressed, inPieces } from '../../core/answer-bytes.ts';
import type { CachedAnswer, CacheKey, Freed } from '../../core/response-cache.ts';
import { Blocks } from './blocks.ts';

/** From this size on a stream's events, which repeat themselves, are compressed; in bytes. */
const leastCompressed = 1024;

/**
 * What an entry takes besides its blocks, in bytes: some 200 in the heap, and the room that a heap takes around what is
 * alive and what was, until it is collected. What the process has more by it: see `bench/cache-resident.ts`.
 */
const overhead = 900;

/** No entry may take more than this share of everything. */
const largestShare = 1 / 8;

/** Entries that are looked at in one turn of a cleaning. */
const step = 500;

/** How an entry's bytes begin: when it was stored, when it is of no use any more, and how long the JSON of its key is. */
const times = 16;
const beforeKey = times + 4;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a tenant has. */
interface Room {
  readonly tenant: string;
  entries: number;
  bytes: number;
}

/** An entry: where it lies. */
interface Kept {
  readonly room: Room;
  /** In bytes, as it was written. */
  readonly length: number;
  /** What it takes, in bytes. */
  readonly size: number;
  /** The first of its blocks, or `null` before it has any. */
  first: number | null;
}

/** How what is written of an entry begins. */
function startOf({ agent, model }: CacheKey, answer: CachedAnswer): Buffer {
  const { storedAt, freshUntil, refreshUntil, rescueUntil } = answer;
  const told = JSON.stringify([agent, model]);
  const start = Buffer.allocUnsafe(beforeKey + Buffer.byteLength(told));
  start.writeDoubleLE(storedAt);
  start.writeDoubleLE(Math.max(freshUntil, refreshUntil, rescueUntil), 8);
  start.writeUInt32LE(start.length - beforeKey, times);
  start.write(told, beforeKey);
  return start;
}

const lengthOf = (pieces: readonly Buffer[]): number => pieces.reduce((sum, { length }) => sum + length, 0);

export interface MemoryTierSettings {
  /** At most so much memory; 0 for none. In bytes. */
  readonly maxBytes: number;
  /** What a tenant has more than this is removed when it is cleaned; in bytes, `Infinity` for no such limit. */
  readonly maxBytesPerTenant: number;
}

/** What is kept, in all or of one tenant. */
export interface Holding {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * Answers in the memory of this process. The ones that were used least lately make room. They lie outside JavaScript's
 * heap: there each new one would be garbage some time later, and the heap would grow to a multiple of what is kept.
 */
export class MemoryTier {
  readonly #lru: LRUCache<string, Kept> | null;
  readonly #blocks = new Blocks();
  readonly #settings: MemoryTierSettings;
  readonly #rooms = new Map<string, Room>();
  readonly #evicted: () => void;

  /** @param evicted Told of each entry that made room for another. */
  constructor(settings: MemoryTierSettings, evicted: () => void = () => {}) {
    const { maxBytes } = settings;
    this.#settings = settings;
    this.#evicted = evicted;
    this.#lru =
      maxBytes === 0
        ? null
        : new LRUCache<string, Kept>({
            maxSize: maxBytes,
            maxEntrySize: Math.max(1, Math.floor(maxBytes * largestShare)),
            sizeCalculation: ({ size }) => size,
            dispose: (entry, _hash, reason) => {
              this.#release(entry);
              if (reason === 'evict') this.#evicted();
            },
          });
  }

  get(hash: string): CachedAnswer | undefined {
    const entry = this.#lru?.get(hash);
    if (entry === undefined || entry.first === null) return undefined;
    const record = this.#blocks.read(entry.first, entry.length);
    return answerOf(record.subarray(beforeKey + record.readUInt32LE(times))) ?? undefined;
  }

  /** Keeps it at once; a stream is compressed a little later, beside what is being answered. */
  set(key: CacheKey, answer: CachedAnswer): void {
    if (this.#lru === null) return;
    const pieces = inPieces(answer);
    const entry = this.#put(key, [startOf(key, answer), ...pieces]);
    if (answer.kind === 'stream' && lengthOf(pieces) >= leastCompressed) void this.#compress(key, answer, entry);
  }

  delete(hash: string): void {
    this.#lru?.delete(hash);
  }

  /** The most that an answer may take to be kept, in bytes. */
  get largest(): number {
    return Math.floor(this.#settings.maxBytes * largestShare);
  }

  /** What it has of the machine outside the heap, in bytes. */
  get allocated(): number {
    return this.#blocks.bytes;
  }

  /** What is kept, in all or of one tenant. */
  holding(tenant?: string): Holding {
    if (tenant === undefined) return { entries: this.#lru?.size ?? 0, bytes: this.#lru?.calculatedSize ?? 0 };
    const { entries, bytes } = this.#rooms.get(tenant) ?? { entries: 0, bytes: 0 };
    return { entries, bytes };
  }

  /**
   * Removes some entries, in small steps.
   * @param before Only those that were stored by then, in ms since the Unix epoch.
   */
  async remove(isIt: (key: CacheKey) => boolean, before = Infinity): Promise<Freed> {
    return this.#sweep((entry, hash) => {
      const start = this.#read(entry, beforeKey);
      if (start.readDoubleLE() > before) return false;
      const told = this.#read(entry, beforeKey + start.readUInt32LE(times)).toString('utf8', beforeKey);
      const [agent, model] = JSON.parse(told) as [CacheKey['agent'], string];
      return isIt({ hash, tenant: entry.room.tenant, agent, model });
    });
  }

  /** Removes what is too old for any use, and the oldest of what a tenant has too much, in small steps. */
  async cleanup(now: number, signal: AbortSignal): Promise<Freed> {
    const { maxBytesPerTenant } = this.#settings;
    return this.#sweep(
      (entry) => entry.room.bytes > maxBytesPerTenant || this.#read(entry, times).readDoubleLE(8) <= now,
      signal,
    );
  }

  /** Looks at all of them, those that were used least lately first. */
  async #sweep(isUseless: (entry: Kept, hash: string) => boolean, signal?: AbortSignal): Promise<Freed> {
    let entries = 0;
    let bytes = 0;
    let looked = 0;
    const hashes = Array.from(this.#lru?.rkeys() ?? []);
    for (const hash of hashes) {
      const entry = this.#lru?.peek(hash);
      if (entry !== undefined && isUseless(entry, hash)) {
        entries++;
        bytes += entry.size;
        this.#lru?.delete(hash);
      }
      if (++looked % step !== 0) continue;
      await nextTurn();
      if (signal?.aborted === true) break;
    }
    return { entries, bytes };
  }

  async #compress(key: CacheKey, answer: CachedAnswer, entry: Kept): Promise<void> {
    const pieces = [startOf(key, answer), await compressed(inPieces(answer))];
    if (this.#lru?.peek(key.hash) === entry && lengthOf(pieces) < entry.length) this.#put(key, pieces);
  }

  #put({ hash, tenant }: CacheKey, pieces: readonly Buffer[]): Kept {
    const length = lengthOf(pieces);
    const size = overhead + Blocks.spaceOf(length);
    const entry: Kept = { room: this.#roomOf(tenant), length, size, first: null };
    this.#lru?.set(hash, entry);
    // One that is too large is not kept. Else what it pushed out has given its blocks back by now.
    if (this.#lru?.peek(hash) !== entry) return entry;
    entry.first = this.#blocks.write(pieces);
    entry.room.entries++;
    entry.room.bytes += size;
    this.#rooms.set(tenant, entry.room);
    return entry;
  }

  #roomOf(tenant: string): Room {
    return this.#rooms.get(tenant) ?? { tenant, entries: 0, bytes: 0 };
  }

  #read({ first, length }: Kept, upTo: number): Buffer {
    return first === null ? Buffer.alloc(upTo) : this.#blocks.read(first, Math.min(upTo, length));
  }

  #release({ room, size, first }: Kept): void {
    if (first === null) return;
    this.#blocks.free(first);
    room.entries--;
    room.bytes -= size;
    if (room.entries === 0) this.#rooms.delete(room.tenant);
  }
}
