import type { Kysely, RawBuilder, SqlBool } from 'kysely';
import { sql } from 'kysely';
import { setTimeout as wait } from 'node:timers/promises';
import { MizanError } from '../../core/errors.ts';
import type { JobSpec } from '../../core/jobs.ts';
import { systemTenant } from '../../core/jobs.ts';
import type { SealContext } from '../../core/sealing.ts';
import type { Database } from '../schema.ts';
import type { JobSeals } from './seals.ts';
import { contextOfJob, contextOfRun } from './seals.ts';

/** Rows at a time, and how long is waited after them, in ms: they are sealed on the thread that answers. */
const batch = { rows: 20, pauseMs: 20 };

/** What became of rows that were to be sealed. */
export interface SealedRows {
  readonly done: number;
  /** Names those that could not be opened; they and their key stay. */
  readonly damaged: readonly string[];
}

interface Row {
  readonly id: string;
  readonly tenant: string;
  readonly value: string | null;
  readonly sealed: Uint8Array | null;
}

/** A table with a column `sealed`. */
interface Room {
  readonly table: 'jobs' | 'job_runs';
  readonly id: 'name' | 'id';
  /** What lies in clear where a row is from before there were seals. */
  readonly clear: 'spec' | 'output';
  readonly isClear: RawBuilder<SqlBool>;
  contextOf(row: Row): SealContext;
  /** What is sealed of a clear value, and what stays of it; `null` for nothing. */
  split(row: Row, seals: JobSeals): { readonly sealed: Buffer; readonly rest: string | null } | null;
}

const rooms: readonly Room[] = [
  {
    table: 'jobs',
    id: 'name',
    clear: 'spec',
    isClear: sql<SqlBool>`sealed is null and tenant <> ${sql.lit(systemTenant)}`,
    contextOf: ({ id, tenant }) => contextOfJob({ name: id, tenant }),
    split({ id, tenant, value }, seals) {
      const spec = JSON.parse(value ?? '{}') as JobSpec;
      const sealed = seals.settings({ name: id, tenant }, spec.settings);
      return sealed === null ? null : { sealed, rest: JSON.stringify({ ...spec, settings: {} }) };
    },
  },
  {
    table: 'job_runs',
    id: 'id',
    clear: 'output',
    isClear: sql<SqlBool>`sealed is null and tenant <> ${sql.lit(systemTenant)} and output is not null`,
    contextOf: contextOfRun,
    split({ id, tenant, value }, seals) {
      const sealed = seals.output({ id, tenant }, JSON.parse(value ?? 'null'));
      return sealed === null ? null : { sealed, rest: null };
    },
  },
];

/** Sees that everything of tenants' jobs is sealed, under keys that are in use. Each row is a step by itself. */
export class SealedJobs {
  readonly #db: Kysely<Database>;
  readonly #seals: JobSeals;

  constructor(db: Kysely<Database>, seals: JobSeals) {
    this.#db = db;
    this.#seals = seals;
  }

  /** @param retired The ids of keys that only open. */
  async upkeep(retired: readonly string[], signal?: AbortSignal): Promise<SealedRows> {
    let done = 0;
    const damaged: string[] = [];
    const isStopped = (): boolean => signal?.aborted === true;
    for (const room of rooms) {
      done += await this.#sealClear(room, isStopped);
      for (const key of retired) done += await this.#reseal(room, { key, damaged, isStopped });
    }
    return { done, damaged };
  }

  /** How many rows are sealed under a key. */
  async count(keyId: string): Promise<number> {
    let count = 0;
    for (const { table } of rooms) {
      const { rows } = await sql<{ n: number }>`
        select count(*) as n from ${sql.table(table)} where ${under(keyId)}`.execute(this.#db);
      count += rows[0]?.n ?? 0;
    }
    return count;
  }

  async #sealClear(room: Room, isStopped: () => boolean): Promise<number> {
    let done = 0;
    for (let after = ''; !isStopped();) {
      const rows = await this.#rows(room, room.isClear, after);
      for (const row of rows) {
        const parts = room.split(row, this.#seals);
        if (parts !== null && (await this.#write(room, row, parts))) done++;
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.id;
      await wait(batch.pauseMs);
    }
    return done;
  }

  async #reseal(
    room: Room,
    {
      key,
      damaged,
      isStopped,
    }: { readonly key: string; readonly damaged: string[]; readonly isStopped: () => boolean },
  ): Promise<number> {
    let done = 0;
    for (let after = ''; !isStopped();) {
      const rows = await this.#rows(room, under(key), after);
      for (const row of rows) {
        try {
          const sealed = this.#seals.anew(row.sealed ?? new Uint8Array(), room.contextOf(row));
          if (await this.#write(room, row, { sealed, rest: row.value })) done++;
        } catch (error) {
          if (!(error instanceof MizanError) || error.code !== 'unsealable') throw error;
          damaged.push(error.message);
        }
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.id;
      await wait(batch.pauseMs);
    }
    return done;
  }

  async #rows({ table, id, clear }: Room, which: RawBuilder<SqlBool>, after: string): Promise<readonly Row[]> {
    const name = sql.ref(id);
    const { rows } = await sql<Row>`
      select ${name} as id, tenant, ${sql.ref(clear)} as value, sealed from ${sql.table(table)}
      where ${which} and ${name} > ${after} order by ${name} limit ${sql.lit(batch.rows)}`.execute(this.#db);
    return rows;
  }

  /** Only where the row is as it was. @returns Whether it was. */
  async #write(
    { table, id, clear }: Room,
    row: Row,
    { sealed, rest }: { readonly sealed: Buffer; readonly rest: string | null },
  ): Promise<boolean> {
    const { rows } = await sql`
      update ${sql.table(table)} set sealed = ${sealed}, ${sql.ref(clear)} = ${rest}
      where ${sql.ref(id)} = ${row.id} and sealed is not distinct from ${row.sealed}
        and ${sql.ref(clear)} is not distinct from ${row.value} returning 1 as done`.execute(this.#db);
    return rows.length > 0;
  }
}

function under(keyId: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`sealed is not null and substr(sealed, 2, 8) = ${Buffer.from(keyId, 'hex')}`;
}
