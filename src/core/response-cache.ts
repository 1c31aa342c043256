import type { Usage } from './usage.ts';

/** Whose answer it is and what it answers; entries are removed by these. */
export interface CacheKey {
  /** SHA-256 of everything that the answer depends on, in base64url. */
  readonly hash: string;
  readonly tenant: string;
  /** `null` where a model was called directly. */
  readonly agent: string | null;
  readonly model: string;
}

/** A complete answer as it is kept. */
export interface CachedAnswer {
  /** `json`: the body as it came; `stream`: its events, without the one that holds nothing but the usage. */
  readonly kind: 'json' | 'stream';
  readonly body: Buffer;
  /** Of a stream: the event that holds nothing but the usage, where there was one; else empty. */
  readonly usageEvent: Buffer;
  /** What it cost when it was made. */
  readonly usage: Usage;
  readonly finishReason: string | null;
  /** Who gave it. */
  readonly model: string;
  readonly instance: string;
  readonly provider: string;
  /** When it was complete, in ms since the Unix epoch; likewise below. */
  readonly storedAt: number;
  /** Until then it is served without asking anybody. */
  readonly freshUntil: number;
  /** Until then it is served while another is fetched. */
  readonly refreshUntil: number;
  /** Until then it is served where no other can be had. */
  readonly rescueUntil: number;
}

/** Which entries: all where nothing is said. */
export interface CacheSelection {
  readonly tenant?: string | undefined;
  readonly agent?: string | undefined;
  readonly model?: string | undefined;
}

/** What was given back. */
export interface Freed {
  readonly entries: number;
  readonly bytes: number;
}

/** What the scheduler has cleaned, once an hour. */
export interface CacheCleaner {
  /** Removes what is of no use any more, in small steps; ends early where the signal says so. */
  cleanup(signal: AbortSignal): Promise<Freed>;
}
