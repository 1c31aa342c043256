import type { ErrorCode } from './errors.ts';
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

export function sumOf(one: Freed, other: Freed = { entries: 0, bytes: 0 }): Freed {
  return { entries: one.entries + other.entries, bytes: one.bytes + other.bytes };
}

/** What a purge has given back so far, and whether it is done. */
export interface Purged extends Freed {
  readonly complete: boolean;
}

/** What a look into the shared cache came to. */
export type SharedLook =
  /** An answer; `forAll` where it is kept, and not only handed to those who wait for it. */
  | { readonly found: CachedAnswer; readonly forAll: boolean }
  /** There is none. `mine`: the upstream is this process' to ask; `away`: who knows. */
  | { readonly found: null; readonly turn: 'mine' | 'away'; readonly old?: CachedAnswer }
  /** There is none, and another process asks: `holder` is its upstream call. */
  | { readonly found: null; readonly turn: 'theirs'; readonly holder: string; readonly old?: CachedAnswer };

/** A complete answer but for what it says. */
export type AnswerFacts = Omit<CachedAnswer, 'body' | 'usageEvent'>;

/** What other processes are told of an answer under way: who gives it, what it says bit by bit, and how it ended. */
export type Word =
  | { readonly kind: 'head'; readonly model: string; readonly instance: string; readonly provider: string }
  | { readonly kind: 'part'; readonly bytes: Buffer; readonly isUsage: boolean }
  /** It is complete. `isKept`: for all who ask later. */
  | { readonly kind: 'end'; readonly facts: AnswerFacts; readonly isKept: boolean; readonly resumed: number }
  /** It broke off. */
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string; readonly status: number }
  /** It does not come in parts: it will be there at its end. */
  | { readonly kind: 'whole' }
  /** It can't be told from its start: it is too long for that. */
  | { readonly kind: 'untold' };

/** What was heard of another process' answer. */
export type Heard =
  | 'away'
  | {
      readonly words: readonly Word[];
      /** The number of the last piece that was heard, to go on from. */
      readonly upTo: number;
      /** Whether the other process still says that it is at it. */
      readonly isHeld: boolean;
      /** Something in between is lost, or was altered. */
      readonly isBroken: boolean;
    };

/** Told who listens in other processes. */
export interface Audience {
  /** @param wantsParts Whether any of them wants to hear the answer as it comes. */
  changed(isThere: boolean, wantsParts: boolean): void;
}

/** How one upstream call is told to other processes. */
export interface Teller {
  /** Comes back at once. What can't be told in time is not told any more, and nothing after it. */
  say(word: Word): void;
  /** Looks whether anybody listens; the audience is told. Resolves within the deadline of a look. */
  look(): Promise<void>;
}

/** Answers that several processes share. It never makes anybody wait for long; only a purge may reject. */
export interface SharedAnswers extends CacheCleaner {
  /**
   * Looks for an answer, and where there is none, for the right to ask the upstream.
   * @param ticket Of this upstream call, to be given back by {@link SharedAnswers.land}.
   * @param isWaiting Whether it was another's turn before: then an answer will do that is not kept for others.
   * @param wantsNewer What is there is too old: whose turn it is comes with it, as `old`.
   */
  look(key: CacheKey, ticket: string, isWaiting: boolean, wantsNewer?: boolean): Promise<SharedLook>;
  /**
   * This process has the turn: others may listen from now on, until it has landed. What is said goes through the shared
   * cache only while somebody does.
   */
  tell(key: CacheKey, ticket: string, audience: Audience): Teller;

  /**
   * Hears what is new of another process' answer, and says that somebody listens. Comes back as soon as there is
   * something, and after a moment in any case.
   * @param upTo The last piece that was heard; 0 for none.
   */
  hear(key: CacheKey, from: { readonly holder: string; readonly upTo: number }, signal: AbortSignal): Promise<Heard>;

  /**
   * The upstream call is over. Comes back at once; everything else is done behind the answer.
   * @param answer `null` where there is nothing to give.
   * @param isKept Whether it is for all who ask later, or only for those who wait for it now.
   */
  land(key: CacheKey, ticket: string, answer: CachedAnswer | null, isKept: boolean): void;
  /**
   * Removes the entries of a selection, here and in the memory of every process. Where it can't be done in a few
   * seconds it is not `complete`; then it goes on, also after this process has ended and another one was started.
   * Rejects with MizanError `database_busy` where that can't be made sure of; nothing is removed then.
   */
  purge(selection: CacheSelection): Promise<Purged>;
  /** @param purged Told which entries another process has purged, and up to when they were stored. */
  watch(purged: (isPurged: (key: CacheKey) => boolean, before: number) => void): void;
  /** What is left to be done is done. */
  close(): Promise<void>;
}

/** Notes of what was purged and is not done. They outlast the process, and are everybody's who has the same data. */
export interface UnfinishedPurges {
  all(): readonly string[];
  /** @throws MizanError `database_busy`. */
  add(note: string): void;
  /** @throws MizanError `database_busy`. */
  remove(note: string): void;
}

/** What the scheduler has cleaned, once an hour. */
export interface CacheCleaner {
  /** Removes what is of no use any more, in small steps; ends early where the signal says so. */
  cleanup(signal: AbortSignal): Promise<Freed>;
}

/** Whether an entry is one of a selection. */
export function isSelected(key: CacheKey, { tenant, agent, model }: CacheSelection): boolean {
  return (
    (tenant === undefined || key.tenant === tenant) &&
    (agent === undefined || key.agent === agent) &&
    (model === undefined || key.model === model)
  );
}
