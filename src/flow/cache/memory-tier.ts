import { promisify } from 'node:util';
import { zstdCompress, zstdDecompressSync } from 'node:zlib';
import { LRUCache } from 'lru-cache';
import type { CachedAnswer, CacheKey, Freed } from '../../core/response-cache.ts';

const compress = promisify(zstdCompress);

/** From this size on a stream's events, which repeat themselves, are compressed; in bytes. */
const leastCompressed = 1024;

/** Bodies below this are kept as texts: they cost less beside their bytes than a buffer. In bytes. */
const leastBuffer = 8 * 1024;

/** What an entry takes besides its body, in bytes; measured by `bench/cache-memory.ts`. */
const overhead = 720;

/** No entry may take more than this share of everything. */
const largestShare = 1 / 8;

/** Entries that are looked at in one turn of a cleaning. */
const step = 500;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An answer in as little memory as it takes. */
class Kept implements CachedAnswer {
  readonly key: CacheKey;
  readonly kind: CachedAnswer['kind'];
  readonly usage: CachedAnswer['usage'];
  readonly finishReason: string | null;
  readonly model: string;
  readonly instance: string;
  readonly provider: string;
  readonly storedAt: number;
  readonly freshUntil: number;
  readonly refreshUntil: number;
  readonly rescueUntil: number;
  readonly size: number;
  readonly #body: string | Buffer;
  readonly #isCompressed: boolean;
  readonly #usageEvent: string;

  /** @param compressed The body, in the place of the answer's own. */
  constructor(key: CacheKey, answer: CachedAnswer, compressed: Buffer | null = null) {
    this.key = key;
    this.kind = answer.kind;
    this.usage = answer.usage;
    this.finishReason = answer.finishReason;
    this.model = answer.model;
    this.instance = answer.instance;
    this.provider = answer.provider;
    this.storedAt = answer.storedAt;
    this.freshUntil = answer.freshUntil;
    this.refreshUntil = answer.refreshUntil;
    this.rescueUntil = answer.rescueUntil;
    this.#isCompressed = compressed !== null;
    this.#body = packed(compressed ?? answer.body);
    this.#usageEvent = answer.usageEvent.toString('latin1');
    this.size = overhead + this.#body.length + this.#usageEvent.length;
  }

  get body(): Buffer {
    const body = typeof this.#body === 'string' ? Buffer.from(this.#body, 'latin1') : this.#body;
    return this.#isCompressed ? zstdDecompressSync(body) : body;
  }

  get usageEvent(): Buffer {
    return Buffer.from(this.#usageEvent, 'latin1');
  }

  /** When it is of no use any more, in ms since the Unix epoch. */
  get endsAt(): number {
    return Math.max(this.freshUntil, this.refreshUntil, this.rescueUntil);
  }
}

/** Memory of its own: a piece of a larger one would keep all of that. */
function packed(body: Buffer): string | Buffer {
  if (body.length < leastBuffer) return body.toString('latin1');
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}

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

/** Answers in the memory of this process. The ones that were used least lately make room. */
export class MemoryTier {
  readonly #lru: LRUCache<string, Kept> | null;
  readonly #settings: MemoryTierSettings;
  readonly #byTenant = new Map<string, { entries: number; bytes: number }>();
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
              this.#count(entry, -1);
              if (reason === 'evict') this.#evicted();
            },
          });
  }

  get(hash: string): CachedAnswer | undefined {
    return this.#lru?.get(hash);
  }

  /** Keeps it at once; a stream is compressed a little later, beside what is being answered. */
  set(key: CacheKey, answer: CachedAnswer): void {
    if (this.#lru === null) return;
    const entry = new Kept(key, answer);
    this.#put(entry);
    if (answer.kind === 'stream' && answer.body.length >= leastCompressed) void this.#compress(entry, answer);
  }

  delete(hash: string): void {
    this.#lru?.delete(hash);
  }

  /** The most that an answer may take to be kept, in bytes. */
  get largest(): number {
    return Math.floor(this.#settings.maxBytes * largestShare);
  }

  /** What is kept, in all or of one tenant. */
  holding(tenant?: string): Holding {
    if (tenant !== undefined) return { ...(this.#byTenant.get(tenant) ?? { entries: 0, bytes: 0 }) };
    return { entries: this.#lru?.size ?? 0, bytes: this.#lru?.calculatedSize ?? 0 };
  }

  /**
   * Removes some entries, in small steps.
   * @param before Only those that were stored by then, in ms since the Unix epoch.
   */
  async remove(isIt: (key: CacheKey) => boolean, before = Infinity): Promise<Freed> {
    return this.#sweep((entry) => entry.storedAt <= before && isIt(entry.key));
  }

  /** Removes what is too old for any use, and the oldest of what a tenant has too much, in small steps. */
  async cleanup(now: number, signal: AbortSignal): Promise<Freed> {
    const { maxBytesPerTenant } = this.#settings;
    return this.#sweep(
      ({ endsAt, key }) => endsAt <= now || (this.#byTenant.get(key.tenant)?.bytes ?? 0) > maxBytesPerTenant,
      signal,
    );
  }

  /** Looks at all of them, those that were used least lately first. */
  async #sweep(isUseless: (entry: Kept) => boolean, signal?: AbortSignal): Promise<Freed> {
    let entries = 0;
    let bytes = 0;
    let looked = 0;
    const hashes = Array.from(this.#lru?.rkeys() ?? []);
    for (const hash of hashes) {
      const entry = this.#lru?.peek(hash);
      if (entry !== undefined && isUseless(entry)) {
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

  async #compress(entry: Kept, answer: CachedAnswer): Promise<void> {
    const compressed = await compress(answer.body);
    const { hash } = entry.key;
    if (compressed.length < answer.body.length && this.#lru?.peek(hash) === entry) {
      this.#put(new Kept(entry.key, answer, compressed));
    }
  }

  #put(entry: Kept): void {
    this.#lru?.set(entry.key.hash, entry);
    // One that is too large is not kept, and then it is not counted.
    if (this.#lru?.peek(entry.key.hash) === entry) this.#count(entry, 1);
  }

  #count({ key: { tenant }, size }: Kept, sign: 1 | -1): void {
    const held = this.#byTenant.get(tenant) ?? { entries: 0, bytes: 0 };
    held.entries += sign;
    held.bytes += sign * size;
    if (held.entries === 0) this.#byTenant.delete(tenant);
    else this.#byTenant.set(tenant, held);
  }
}
