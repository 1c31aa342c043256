/** What a caller asks of the cache by `Cache-Control` (RFC 9111 §5.2.1). */
export interface Directives {
  /** A new answer is asked for, and kept. */
  readonly noCache: boolean;
  /** The cache is left out: nothing is looked up, shared or kept. */
  readonly noStore: boolean;
  /** The oldest answer that will do, in ms. */
  readonly maxAgeMs: number;
  /** Nobody is to be asked. */
  readonly onlyIfCached: boolean;
}

const none: Directives = { noCache: false, noStore: false, maxAgeMs: Infinity, onlyIfCached: false };

/** Directives that are unknown, or not well written, are as if they weren't there. */
export function directivesOf(header: string | null): Directives {
  if (header === null) return none;
  const names = new Set<string>();
  let maxAgeMs = Infinity;
  for (const part of header.slice(0, 1000).toLowerCase().split(',')) {
    const [name = '', value = ''] = part.trim().split('=');
    names.add(name);
    const [, seconds] = /^"?(\d{1,12})"?$/.exec(value) ?? [];
    if (name === 'max-age' && seconds !== undefined) maxAgeMs = Number(seconds) * 1000;
  }
  return {
    noCache: names.has('no-cache'),
    noStore: names.has('no-store'),
    maxAgeMs,
    onlyIfCached: names.has('only-if-cached'),
  };
}
