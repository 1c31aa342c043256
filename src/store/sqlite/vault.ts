import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../core/clock.ts';
import { systemClock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { DataKey } from '../../security/key-ring.ts';
import { KeyRing } from '../../security/key-ring.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import type { KeySelection } from '../../security/rotation.ts';
import { Rotation } from '../../security/rotation.ts';
import type { SealedValues } from '../../security/sealed-values.ts';
import type { SeenMessages } from '../../security/seen-messages.ts';
import { ServerKeys } from '../../security/server-keys.ts';
import { SqliteDataKeys } from './data-keys.ts';
import type { IdentityEpoch } from './identity-epoch.ts';
import { CountedJobs } from './counted-jobs.ts';
import { RowSeal } from './row-seal.ts';
import { SqliteSealedValues } from './sealed-values.ts';
import { SqliteSeenMessages } from './seen-messages.ts';

/** Rows that are sealed anew between two pauses, and the pause, in ms: they are sealed on the thread that answers. */
const background = { rows: 10, pauseMs: 20 };

/**
 * Sees that the master key is the right one, in a database of any version.
 * @throws SetupError where it isn't, or can't be had.
 */
export function checkMasterKey(database: DatabaseSync, masters: MasterKeys): void {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'data_keys'").get();
  if (table === undefined) masters.current(true);
  else new KeyRing(new SqliteDataKeys(database), masters, systemClock).check();
}

/** Everything that is sealed, and what seals it. */
export class Vault {
  readonly ring: KeyRing;
  readonly rotation: Rotation;
  readonly values: SealedValues;
  readonly serverKeys: ServerKeys;
  readonly seenMessages: SeenMessages;
  readonly apiKeySeal: RowSeal;
  readonly #database: DatabaseSync;
  readonly #keys: SqliteDataKeys;
  readonly #masters: MasterKeys;
  readonly #epoch: IdentityEpoch;
  /** Something was removed that the write-ahead log still has. */
  #isInLog = false;

  constructor(
    database: DatabaseSync,
    world: {
      readonly masters: MasterKeys;
      readonly epoch: IdentityEpoch;
      readonly clock: Clock;
      /** Whether jobs and their runs are in this database. */
      readonly hasJobs: boolean;
    },
  ) {
    const { masters, epoch, clock } = world;
    this.#database = database;
    this.#epoch = epoch;
    this.#masters = masters;
    this.#keys = new SqliteDataKeys(database);
    this.ring = new KeyRing(this.#keys, masters, clock);
    const values = new SqliteSealedValues(database, this.ring, clock);
    this.values = values;
    this.apiKeySeal = new RowSeal(database, this.ring);
    // Elsewhere than here, nobody here knows what is still under a key: then none of these ever goes by itself.
    const jobs = world.hasJobs ? [new CountedJobs(database)] : [];
    this.rotation = new Rotation(this.ring, this.#keys, [values, this.apiKeySeal, ...jobs], clock);
    this.serverKeys = new ServerKeys(values, clock);
    this.seenMessages = new SqliteSeenMessages(database);
  }

  /**
   * What has to be done before anything is served: a replaced master key takes over what its predecessor wrapped, and
   * rows from before there were seals get theirs, once.
   */
  prepare(): void {
    if (this.#keys.masters().length > 0) this.#takeOver();
    else this.#masters.current(true);
    if (this.#keys.active('system', 'api-key') !== undefined) return;
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      if (this.#keys.active('system', 'api-key') === undefined) {
        this.apiKeySeal.sealAll();
        this.ring.renew('system', 'api-key');
      }
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** All data keys; of each, everything but the key. */
  keys(): readonly Omit<DataKey, 'wrapped'>[] {
    return this.#keys.list().map(({ wrapped: _wrapped, ...facts }) => facts);
  }

  /** New keys at once; what was sealed before is sealed anew by `rotation.reseal()`. How many. */
  renew(selection: KeySelection): number {
    const { tenant = 'system', purpose = 'message' } = selection;
    if (tenant === 'system' && purpose === 'message') this.serverKeys.renew();
    return this.rotation.renew(selection);
  }

  /**
   * Wraps all data keys with the master key of now, or with a new one where it is kept in a file.
   * @returns How many.
   */
  rotateMaster(): number {
    const finished = this.#takeOver();
    if (!this.#masters.isFile) return finished;
    this.#masters.replaceFile();
    return this.#takeOver();
  }

  /**
   * Removes the retired keys that nothing needs any more. Where somebody reads the database meanwhile, the next time
   * sees that they are gone from its files, too.
   * @returns Their ids.
   */
  sweep(): string[] {
    this.serverKeys.sweep();
    const removable = this.rotation.removable();
    if (removable.length > 0) this.#drop(() => this.rotation.remove(removable));
    this.#shred();
    return removable;
  }

  /**
   * Removes a tenant's data keys, at once and for all. To be followed by `shred`: until then, the database's files may
   * still have them.
   * @returns What they were.
   */
  forgetTenant(tenant: string): readonly Omit<DataKey, 'wrapped'>[] {
    if (tenant === 'system') throw new MizanError('invalid_request', 'The tenant system is Mizan itself.');
    const keys = this.keys().filter((key) => key.tenant === tenant);
    if (keys.length === 0) return keys;
    this.#drop(() => {
      this.#keys.dropTenant(tenant);
      // Whoever remembers one of its API keys has to look again.
      this.#epoch.raise();
    });
    this.ring.forget();
    return keys;
  }

  /**
   * Sees that what was removed, here or by whoever came before, is in none of the database's files any more. Then what
   * was sealed under it can't be opened by anybody, ever.
   * @returns Whether it is so; not while somebody reads the database as it was.
   */
  shred(): boolean {
    this.#isInLog = true;
    return this.#shred();
  }

  /**
   * Destroys one retired key. What was sealed under it outside of the database can't be opened any more.
   * @returns Whether there was one; not where a row still needs it.
   */
  dropKey(id: string): boolean {
    const isThere = (): boolean => this.#keys.find(id)?.state === 'retired';
    if (!isThere()) return false;
    this.#drop(() => this.rotation.remove([id]));
    this.#shred();
    return !isThere();
  }

  /** Goes on with what a rotation has left to do, in small pieces. Ends when there is nothing left, or on `signal`. */
  async upkeep(signal: AbortSignal, damaged: (row: string) => void): Promise<void> {
    let inTurn = 0;
    const told = new Set<string>();
    for (const progress of this.rotation.reseal()) {
      for (const row of progress.damaged.filter((each) => !told.has(each))) damaged(row);
      for (const row of progress.damaged) told.add(row);
      if (++inTurn < background.rows) continue;
      inTurn = 0;
      await new Promise((resolve) => setTimeout(resolve, background.pauseMs));
      if (signal.aborted) return;
    }
    this.sweep();
  }

  #takeOver(): number {
    const current = this.#masters.current(false).id;
    const isDone = this.#keys.masters().every((id) => id === current);
    const count = isDone ? 0 : this.ring.rewrap();
    this.#masters.dropPrevious();
    return count;
  }

  #drop(remove: () => void): void {
    this.#database.exec('PRAGMA secure_delete = ON');
    try {
      remove();
    } finally {
      this.#database.exec('PRAGMA secure_delete = OFF');
    }
    this.#isInLog = true;
  }

  /** Likewise, of what was removed here. */
  #shred(): boolean {
    if (this.#isInLog) this.#isInLog = this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] !== 0;
    return !this.#isInLog;
  }
}
