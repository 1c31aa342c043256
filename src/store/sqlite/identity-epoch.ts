import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Clock } from '../../core/clock.ts';
import { epochLagMs } from '../../core/revocation.ts';

/**
 * Tells when keys or revocations have changed, in this process or in another one on the same database. A counter in the
 * database goes up with each change; it is read only where some other connection has written anything at all.
 */
export class IdentityEpoch {
  readonly #clock: Clock;
  readonly #version: StatementSync;
  readonly #revision: StatementSync;
  readonly #raise: StatementSync;
  #lastVersion: unknown = null;
  #lastRevision: unknown = null;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #epoch = 0;

  constructor(database: DatabaseSync, clock: Clock) {
    this.#clock = clock;
    this.#version = database.prepare('PRAGMA data_version');
    this.#revision = database.prepare('SELECT revision FROM identity_revision');
    this.#raise = database.prepare('UPDATE identity_revision SET revision = revision + 1');
  }

  /** At most `epochLagMs` old. */
  recent(): number {
    return this.#clock.monotonic() - this.#lookedAt < epochLagMs ? this.#epoch : this.now();
  }

  /** As it is at this moment; costs some µs. */
  now(): number {
    this.#lookedAt = this.#clock.monotonic();
    try {
      this.#look();
    } catch {
      // A database that can't be read says nothing new: what is known keeps being served.
    }
    return this.#epoch;
  }

  #look(): void {
    const version = this.#version.get()?.['data_version'];
    if (version === this.#lastVersion) return;
    const revision = this.#revision.get()?.['revision'];
    this.#lastVersion = version;
    if (revision !== this.#lastRevision) this.#epoch++;
    this.#lastRevision = revision;
  }

  /** To be called within the transaction that changes something. */
  raise(): void {
    this.#epoch++;
    this.#raise.run();
  }
}
