import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Notices } from '../core/notices.ts';
import type { Database } from './schema.ts';

/** Notices in SQLite or PostgreSQL: one statement each, so that of several processes one has the word. */
export class KyselyNotices implements Notices {
  readonly #db: Kysely<Database>;

  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async claim(key: string, now: number, repeatMs: number): Promise<boolean> {
    // One from the future is from a clock that was wrong.
    const { rows } = await sql`
      insert into notices (key, told_at) values (${key}, ${now})
      on conflict (key) do update set told_at = excluded.told_at
      where notices.told_at <= ${now - repeatMs} or notices.told_at > ${now}
      returning key`.execute(this.#db);
    return rows.length > 0;
  }

  async forget(key: string): Promise<boolean> {
    const rows = await this.#db.deleteFrom('notices').where('key', '=', key).returning('key').execute();
    return rows.length > 0;
  }
}
