import type { Role } from './principal.ts';

/** An API key as it is kept: never the key itself. */
export interface ApiKeyRecord {
  /** The public part of the key, by which it is looked up. */
  readonly id: string;
  /** SHA-256 of the whole key, in hex. */
  readonly hash: string;
  readonly name: string;
  readonly tenant: string;
  readonly role: Role;
  readonly agents: readonly string[] | null;
  /** In ms since the Unix epoch; likewise below. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

/** Where API keys are kept. */
export interface ApiKeys {
  find(id: string): ApiKeyRecord | undefined;
  list(): ApiKeyRecord[];
  insert(key: ApiKeyRecord): void;
  /** Whether there was such a key that was not revoked yet. */
  revoke(id: string, at: number): boolean;
}
