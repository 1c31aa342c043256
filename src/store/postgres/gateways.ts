import { randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Database } from '../schema.ts';

const prefix = 'mizan gateway ';

/** How the connections of one process that answers requests are called, for PostgreSQL to know them by. */
export function gatewayName(): string {
  return `${prefix}${randomBytes(6).toString('hex')}`;
}

/** How many processes that answer requests are connected to the database. */
export async function countGateways(db: Kysely<Database>): Promise<number> {
  const { rows } = await sql<{ readonly gateways: number }>`
    select count(distinct application_name) as gateways from pg_stat_activity
    where datname = current_database() and starts_with(application_name, ${prefix})`.execute(db);
  return rows[0]?.gateways ?? 0;
}

/** Whether anything is limited that processes count each for themselves, but for what stands in a configuration. */
export async function hasStoredLimits(db: Kysely<Database>): Promise<boolean> {
  const { rows } = await sql`
    select 1 from limit_rules where kind = 'limit'
    union all select 1 from api_keys where revoked_at is null and limits is not null
      and coalesce(limits::json ->> 'rpm', limits::json ->> 'tpm', limits::json ->> 'maxInFlight') is not null
    limit 1`.execute(db);
  return rows.length > 0;
}
