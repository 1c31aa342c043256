/** `secret`: what `mizan secrets set` stores. `server-key`: the private keys to `/.well-known/jwks.json`. */
export type ValueKind = 'secret' | 'server-key';

/** What may be known of a value without opening it. Times in ms since the Unix epoch. */
export interface ValueFacts {
  readonly name: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Values that are kept sealed, and read by name. */
export interface SealedValues {
  /** @throws MizanError `unsealable` for one that was damaged, or put there by somebody else. */
  get(kind: ValueKind, name: string): Buffer | undefined;
  /** Oldest first. */
  list(kind: ValueKind): ValueFacts[];
  put(kind: ValueKind, name: string, value: Uint8Array): void;
  /** Whether there was one. */
  remove(kind: ValueKind, name: string): boolean;
  /** Changes when another process has written. */
  version(): unknown;
}
