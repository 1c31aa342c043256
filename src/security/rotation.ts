import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { SealPurpose } from '../core/sealing.ts';
import type { DataKey, DataKeys, KeyRing } from './key-ring.ts';

/** Rows that are sealed, and by whom they are sealed anew is their own matter. */
export interface CountedRoom {
  readonly purpose: SealPurpose;
  /** Rows that are sealed under the key. */
  count(keyId: string): number;
}

/** A table whose rows are sealed, as a rotation goes through it. */
export interface SealedRoom extends CountedRoom {
  /** At most `limit` of them, after the row `after` in an order of the table's own; `''` is before the first. */
  rows(keyId: string, after: string, limit: number): string[];
  /**
   * Seals a row under the active key; nothing where it has changed meanwhile.
   * @throws MizanError `unsealable` for one that doesn't open.
   */
  reseal(row: string): void;
}

/** Where retired keys are removed. */
export interface DroppableKeys extends DataKeys {
  drop(id: string, isNeeded: () => boolean): boolean;
}

/** Which keys: all where nothing is said. */
export interface KeySelection {
  readonly tenant?: string | undefined;
  readonly purpose?: SealPurpose | undefined;
}

export interface ResealProgress {
  readonly done: number;
  readonly total: number;
  /** Names the rows that could not be opened; they are left as they are, and so is their key. */
  readonly damaged: readonly string[];
}

/** For so long after a key was retired, what was sealed under it just before may still be on its way. In ms. */
const graceMs = 60_000;

const batch = 100;

/**
 * New keys, and old data under them. Every step is whole by itself, and what is left to do is seen from the tables
 * alone: whoever comes next goes on, in this process or in another.
 */
export class Rotation {
  readonly #ring: KeyRing;
  readonly #keys: DroppableKeys;
  readonly #rooms: readonly (SealedRoom | CountedRoom)[];
  readonly #clock: Clock;

  constructor(ring: KeyRing, keys: DroppableKeys, rooms: readonly (SealedRoom | CountedRoom)[], clock: Clock) {
    this.#ring = ring;
    this.#keys = keys;
    this.#rooms = rooms;
    this.#clock = clock;
  }

  /** Puts a new key in the place of each active one. How many. */
  renew({ tenant, purpose }: KeySelection): number {
    const active = this.#keys
      .list()
      .filter((key) => key.state === 'active')
      .filter((key) => (tenant ?? key.tenant) === key.tenant && (purpose ?? key.purpose) === key.purpose);
    for (const key of active) this.#ring.renew(key.tenant, key.purpose);
    return active.length;
  }

  /** Seals everything that is under a retired key anew, a row at each step. */
  *reseal(): Generator<ResealProgress, ResealProgress> {
    const work = this.#retired().flatMap((key) =>
      this.#roomsOf(key).flatMap((room) => ('reseal' in room ? [{ key, room }] : [])),
    );
    const total = work.reduce((sum, { key, room }) => sum + room.count(key.id), 0);
    const damaged: string[] = [];
    let done = 0;
    for (const { key, room } of work) {
      let after = '';
      for (;;) {
        const rows = room.rows(key.id, after, batch);
        for (const row of rows) {
          const words = resealed(room, row);
          if (words !== null) damaged.push(words);
          yield { done: ++done, total, damaged };
        }
        const last = rows.at(-1);
        if (last === undefined) break;
        after = last;
      }
    }
    return { done, total, damaged };
  }

  /**
   * The retired keys that nothing needs, by their ids. Those of purposes without a room are not among them: what is
   * sealed under them is not here to be counted.
   */
  removable(): string[] {
    const before = this.#clock.now() - graceMs;
    const old = this.#retired().filter((key) => (key.retiredAt ?? 0) <= before);
    return old.filter((key) => this.#roomsOf(key).length > 0 && !this.#isNeeded(key)).map(({ id }) => id);
  }

  /** Removes them, where they still aren't needed once nobody else can write. */
  remove(ids: readonly string[]): void {
    const keys = this.#retired().filter(({ id }) => ids.includes(id));
    for (const key of keys) this.#keys.drop(key.id, () => this.#isNeeded(key));
    this.#ring.forget();
  }

  #isNeeded(key: DataKey): boolean {
    return this.#roomsOf(key).some((room) => room.count(key.id) > 0);
  }

  /** The ids of the keys for a purpose that only open. */
  retiredFor(purpose: SealPurpose): string[] {
    return this.#retired().flatMap((key) => (key.purpose === purpose ? [key.id] : []));
  }

  #retired(): DataKey[] {
    return this.#keys.list().filter((key) => key.state === 'retired');
  }

  #roomsOf({ purpose }: DataKey): (SealedRoom | CountedRoom)[] {
    return this.#rooms.filter((room) => room.purpose === purpose);
  }
}

/** `null`, or in words why it was not. */
function resealed(room: SealedRoom, row: string): string | null {
  try {
    room.reseal(row);
    return null;
  } catch (error) {
    if (error instanceof MizanError && error.code === 'unsealable') return error.message;
    throw error;
  }
}
