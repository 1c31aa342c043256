import type { Kysely, Selectable } from 'kysely';
import { sql } from 'kysely';
import type { CheckedState, CountSums, InstanceCheck, MinuteCount, ModelHealthStore } from '../core/model-health.ts';
import type { Database, InstanceChecksTable } from './schema.ts';

/** Rows of one statement. */
const batch = 100;

/** How instances do, in SQLite or PostgreSQL; every method is one statement, or some that don't need each other. */
export class KyselyModelHealth implements ModelHealthStore {
  readonly #db: Kysely<Database>;

  /** @param db May run each of its statements wherever it likes. */
  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  async add(counts: readonly MinuteCount[]): Promise<void> {
    for (let i = 0; i < counts.length; i += batch) {
      const rows = counts.slice(i, i + batch).map(({ okMs, ...count }) => ({ ...count, ok_ms: okMs }));
      await this.#db
        .insertInto('instance_minutes')
        .values(rows)
        .onConflict((conflict) =>
          conflict.columns(['start', 'model', 'instance']).doUpdateSet({
            ok: sql`instance_minutes.ok + excluded.ok`,
            failed: sql`instance_minutes.failed + excluded.failed`,
            ok_ms: sql`instance_minutes.ok_ms + excluded.ok_ms`,
            asked: sql`instance_minutes.asked + excluded.asked`,
            unanswered: sql`instance_minutes.unanswered + excluded.unanswered`,
          }),
        )
        .execute();
    }
  }

  async sums(from: number): Promise<CountSums[]> {
    const { rows } = await sql<CountSums>`
      select model, instance, cast(sum(ok) as bigint) as ok, cast(sum(failed) as bigint) as failed,
        sum(ok_ms) as "okMs", cast(sum(asked) as bigint) as asked, cast(sum(unanswered) as bigint) as unanswered
      from instance_minutes where start >= ${from} group by model, instance`.execute(this.#db);
    return rows;
  }

  async checks(): Promise<InstanceCheck[]> {
    const rows = await this.#db
      .selectFrom('instance_checks')
      .selectAll()
      .orderBy('model')
      .orderBy('instance')
      .execute();
    return rows.map(checkOf);
  }

  async note(checks: readonly InstanceCheck[]): Promise<void> {
    for (let i = 0; i < checks.length; i += batch) {
      await this.#db
        .insertInto('instance_checks')
        .values(checks.slice(i, i + batch).map(rowOf))
        .onConflict((conflict) =>
          conflict.columns(['model', 'instance']).doUpdateSet((e) => ({
            state: e.ref('excluded.state'),
            source: e.ref('excluded.source'),
            latency_ms: e.ref('excluded.latency_ms'),
            uptime_m5: e.ref('excluded.uptime_m5'),
            uptime_h1: e.ref('excluded.uptime_h1'),
            uptime_d1: e.ref('excluded.uptime_d1'),
            detail: e.ref('excluded.detail'),
            downs: e.ref('excluded.downs'),
            since: e.ref('excluded.since'),
            checked_at: e.ref('excluded.checked_at'),
          })),
        )
        .execute();
    }
    // Those that were not looked at this time are not there any more.
    const now = checks[0]?.checkedAt;
    const gone = this.#db.deleteFrom('instance_checks');
    await (now === undefined ? gone : gone.where('checked_at', '<>', now)).execute();
  }

  async prune(before: number): Promise<number> {
    const rows = await this.#db.deleteFrom('instance_minutes').where('start', '<', before).returning('start').execute();
    return rows.length;
  }
}

function checkOf(row: Selectable<InstanceChecksTable>): InstanceCheck {
  return {
    model: row.model,
    instance: row.instance,
    state: row.state as CheckedState,
    source: row.source as InstanceCheck['source'],
    latencyMs: row.latency_ms,
    uptime: { m5: row.uptime_m5, h1: row.uptime_h1, d1: row.uptime_d1 },
    detail: row.detail,
    downs: row.downs,
    since: row.since,
    checkedAt: row.checked_at,
  };
}

function rowOf({ latencyMs, uptime, checkedAt, ...check }: InstanceCheck): Selectable<InstanceChecksTable> {
  const { m5, h1, d1 } = uptime;
  return { ...check, latency_ms: latencyMs, uptime_m5: m5, uptime_h1: h1, uptime_d1: d1, checked_at: checkedAt };
}
