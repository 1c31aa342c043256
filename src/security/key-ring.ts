import type { KeyObject } from 'node:crypto';
import { createSecretKey, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../core/clock.ts';
import { MizanError, SetupError } from '../core/errors.ts';
import type { SealContext, Sealing, SealPurpose } from '../core/sealing.ts';
import { keyIdOf, openWith, sealWith, unsealable } from './envelope.ts';
import type { MasterKey } from './master-key.ts';
import type { MasterKeys } from './master-keys.ts';

/** A data key as it is kept. */
export interface DataKey {
  /** 16 hex digits, random. */
  readonly id: string;
  readonly tenant: string;
  readonly purpose: SealPurpose;
  /** `active` seals and opens; `retired` only opens. */
  readonly state: 'active' | 'retired';
  /** The id of the master key that wraps it. */
  readonly master: string;
  readonly wrapped: Uint8Array;
  /** Messages that it has sealed, at most. */
  readonly uses: number;
  /** In ms since the Unix epoch; likewise below. */
  readonly createdAt: number;
  readonly retiredAt: number | null;
}

/** Where data keys are kept. Synchronous, as sealing is. */
export interface DataKeys {
  /** Changes when another connection has written; only then can what was read be old. */
  version(): unknown;
  find(id: string): DataKey | undefined;
  active(tenant: string, purpose: SealPurpose): DataKey | undefined;
  /** All of a tenant's for a purpose: the active one first, then the newest. */
  listOf(tenant: string, purpose: SealPurpose): DataKey[];
  list(): DataKey[];
  /** The ids of the master keys that wrap something. */
  masters(): string[];
  /** Adds an active key, unless there is one, or all that there are hang on another master key. */
  insert(key: DataKey): void;
  /** Counts `count` messages, if the key is in one of the states and stays at `limit` or below; else `false`. */
  reserve(id: string, count: number, limit: number, states: readonly DataKey['state'][]): boolean;
  /** Does nothing to a key that is retired. */
  retire(id: string, at: number): void;
  /** Puts new wrappings in the place of old ones: all of them, or none where it throws. */
  rewrap(change: (key: DataKey) => Pick<DataKey, 'master' | 'wrapped'> | null): number;
}

/** A data key at hand. */
export interface HeldKey {
  readonly id: string;
  readonly tenant: string;
  readonly purpose: SealPurpose;
  readonly secret: KeyObject;
}

/**
 * Messages that one key may seal. Nonces are random: up to here two of them are the same with a probability of 2⁻³⁷
 * (NIST SP 800-38D §8.3 allows 2³² messages). With PostgreSQL each data folder counts its own: four of them are at 2³².
 */
const maxUses = 2 ** 30;

/** Messages that are counted ahead: few at first, so that commands leave no gap, more where many follow. */
const blocks = { first: 16, last: 65_536 };

/** Keys that are remembered; the others are read again. */
const maxHeld = 10_000;

/** Data keys per tenant and purpose, and sealing with them. Keys are made when they are first needed. */
export class KeyRing implements Sealing {
  readonly #keys: DataKeys;
  readonly #masters: MasterKeys;
  readonly #clock: Clock;
  readonly #maxUses: number;
  readonly #held = new LRUCache<string, HeldKey>({ max: maxHeld });
  readonly #active = new LRUCache<string, HeldKey>({ max: maxHeld });
  /** What is left of the messages that were counted ahead, and how many to count next, by key id. */
  readonly #ahead = new LRUCache<string, { left: number; next: number }>({ max: maxHeld });
  #version: unknown = null;

  /** @param limit Messages per key, for tests. */
  constructor(keys: DataKeys, masters: MasterKeys, clock: Clock, limit = maxUses) {
    this.#keys = keys;
    this.#masters = masters;
    this.#clock = clock;
    this.#maxUses = limit;
  }

  /**
   * Sees that every data key can be unwrapped, before anything else is done with them.
   * @throws SetupError where the master key is another one, or can't be had.
   */
  check(): void {
    const wrapping = this.#keys.masters();
    const current = this.#masters.current(wrapping.length === 0);
    const missing = wrapping.filter((id) => id !== current.id && this.#masters.find(id) === undefined);
    if (missing.length === 0) return;
    const expected = `the data is sealed under ${missing.join(' and ')}, and this one is ${current.id}`;
    throw new SetupError('The master key is not the right one', expected);
  }

  seal(data: Uint8Array, context: SealContext): Buffer {
    const key = this.take(context.tenant, context.purpose);
    return sealWith(key.secret, key.id, data, context);
  }

  open(sealed: Uint8Array, context: SealContext): Buffer {
    const id = keyIdOf(sealed);
    const key = id === null ? undefined : this.find(id, context.tenant, context.purpose);
    if (key === undefined) throw unsealable(context);
    return openWith(key.secret, key.id, sealed, context);
  }

  /**
   * The key to seal one message with, counted.
   * @throws MizanError `internal` where there is none to be had.
   */
  take(tenant: string, purpose: SealPurpose): HeldKey {
    try {
      this.#refresh();
      // A key that was retired or used up since makes room for another; more than once only in a race with others.
      for (let tries = 0; tries < 10; tries++) {
        const key = this.#activeKey(tenant, purpose);
        if (this.#count(key.id, ['active'])) return key;
        this.#keys.retire(key.id, this.#clock.now());
        this.#active.delete(slot(tenant, purpose));
      }
    } catch (cause) {
      if (cause instanceof MizanError || cause instanceof SetupError) throw cause;
      throw noKey(tenant, purpose, cause);
    }
    throw noKey(tenant, purpose);
  }

  /** A key by its id, where it is that tenant's and for that purpose. */
  find(id: string, tenant: string, purpose: SealPurpose): HeldKey | undefined {
    this.#refresh();
    let key = this.#held.get(id);
    if (key === undefined) {
      const kept = this.#keys.find(id);
      key = kept === undefined ? undefined : this.#hold(kept);
    }
    return key?.tenant === tenant && key.purpose === purpose ? key : undefined;
  }

  /**
   * Counts a message that is sealed with a key which somebody else has, too, and which may be retired here by now.
   * @throws MizanError `internal` where it is used up, or can't be counted.
   */
  count({ id, tenant, purpose }: HeldKey): void {
    let isCounted: boolean;
    try {
      isCounted = this.#count(id, ['active', 'retired']);
    } catch (cause) {
      throw noKey(tenant, purpose, cause);
    }
    if (!isCounted) throw noKey(tenant, purpose, 'the key is used up');
  }

  /** All keys of a tenant for a purpose, the active one first, then the newest. */
  findAll(tenant: string, purpose: SealPurpose): HeldKey[] {
    return this.#keys.listOf(tenant, purpose).flatMap(({ id }) => this.find(id, tenant, purpose) ?? []);
  }

  /** Retires the active key and makes another one at once. What was sealed before opens as before. */
  renew(tenant: string, purpose: SealPurpose): void {
    const old = this.#keys.active(tenant, purpose);
    if (old !== undefined) this.#keys.retire(old.id, this.#clock.now());
    this.#active.delete(slot(tenant, purpose));
    this.#activeKey(tenant, purpose);
  }

  /**
   * Wraps every data key with the master key of now. Wholly or not at all.
   * @returns How many were wrapped with another.
   * @throws SetupError where one of those is not at hand.
   */
  rewrap(): number {
    const master = this.#masters.current(false);
    return this.#keys.rewrap((key) => {
      if (key.master === master.id) return null;
      const secret = this.#unwrap(key);
      return { master: master.id, wrapped: master.wrap(secret, key) };
    });
  }

  /** Forgets what was remembered, where another process has changed something. */
  #refresh(): void {
    const version = this.#keys.version();
    if (version === this.#version) return;
    this.#version = version;
    this.forget();
  }

  /** Forgets what was remembered. */
  forget(): void {
    this.#held.clear();
    this.#active.clear();
  }

  #count(id: string, states: readonly DataKey['state'][]): boolean {
    const ahead = this.#ahead.get(id) ?? { left: 0, next: blocks.first };
    if (ahead.left === 0) {
      const block = Math.min(ahead.next, this.#maxUses);
      if (!this.#keys.reserve(id, block, this.#maxUses, states)) return false;
      ahead.left = block;
      ahead.next = Math.min(ahead.next * 2, blocks.last);
      this.#ahead.set(id, ahead);
    }
    ahead.left--;
    return true;
  }

  #activeKey(tenant: string, purpose: SealPurpose): HeldKey {
    const remembered = this.#active.get(slot(tenant, purpose));
    if (remembered !== undefined) return remembered;
    if (this.#keys.active(tenant, purpose) === undefined) this.#make(tenant, purpose);
    const kept = this.#keys.active(tenant, purpose);
    if (kept === undefined) throw noKey(tenant, purpose, 'the master key was replaced; start again with the new one');
    const key = this.#hold(kept);
    this.#active.set(slot(tenant, purpose), key);
    return key;
  }

  #make(tenant: string, purpose: SealPurpose): void {
    const [wrapping] = this.#keys.masters();
    const master = this.#masterFor(wrapping);
    const name = { id: randomBytes(8).toString('hex'), tenant, purpose };
    const wrapped = master.wrap(randomBytes(32), name);
    const times = { createdAt: this.#clock.now(), retiredAt: null };
    this.#keys.insert({ ...name, ...times, state: 'active', master: master.id, wrapped, uses: 0 });
  }

  /** The one that is in use: where another process has replaced a file, the new one. */
  #masterFor(wrapping: string | undefined): MasterKey {
    const current = this.#masters.current(wrapping === undefined);
    if (wrapping === undefined || wrapping === current.id) return current;
    this.#masters.find(wrapping);
    return this.#masters.current(false);
  }

  #hold(kept: DataKey): HeldKey {
    const { id, tenant, purpose } = kept;
    const key: HeldKey = { id, tenant, purpose, secret: createSecretKey(this.#unwrap(kept)) };
    this.#held.set(id, key);
    return key;
  }

  #unwrap(key: DataKey): Buffer {
    const { id, tenant, purpose } = key;
    const master = this.#masters.find(key.master) ?? this.#masters.current(false);
    try {
      return master.unwrap(key.wrapped, { id, tenant, purpose });
    } catch (cause) {
      throw new MizanError('unsealable', `The data key ${id} (${purpose} of ${tenant}) can't be unwrapped.`, { cause });
    }
  }
}

function slot(tenant: string, purpose: SealPurpose): string {
  return `${purpose}\0${tenant}`;
}

function noKey(tenant: string, purpose: SealPurpose, cause?: unknown): MizanError {
  return new MizanError('internal', `There is no key for ${purpose} of ${tenant} to be had.`, { cause });
}
