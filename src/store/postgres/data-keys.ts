import type { PoolClient } from 'pg';
import { SetupError } from '../../core/errors.ts';
import type { DataKeysTable } from '../schema.ts';

/** What there is in PostgreSQL, as far as a new key has to know. */
interface Facts {
  readonly is_empty: boolean;
  readonly is_there: boolean;
  readonly same_master: boolean;
  readonly has_active: boolean;
}

/**
 * Sends a data key that was made here, in the transaction that is open. Of two that were made for the same at once, the
 * later one arrives retired: what it sealed already stays readable.
 * @throws SetupError where the keys that are there hang on another master key.
 */
export async function sendDataKey(client: PoolClient, key: DataKeysTable): Promise<void> {
  // One at a time: also of the first two keys that there ever are, one is the first.
  await client.query('SELECT pg_advisory_xact_lock(7226005)');
  const { rows } = await client.query<Facts>(
    `SELECT count(*) = 0 AS is_empty, coalesce(bool_or(id = $1), false) AS is_there,
       coalesce(bool_or(master = $2), false) AS same_master,
       coalesce(bool_or(tenant = $3 AND purpose = $4 AND state = 'active'), false) AS has_active
     FROM data_keys`,
    [key.id, key.master, key.tenant, key.purpose],
  );
  const [facts] = rows;
  if (facts === undefined || facts.is_there) return;
  if (!facts.is_empty && !facts.same_master) {
    throw new SetupError(
      'The master key is not the right one',
      `what is sealed in PostgreSQL is sealed under another one than ${key.master}`,
    );
  }
  const isLate = facts.has_active && key.state === 'active';
  await client.query(
    `INSERT INTO data_keys (id, tenant, purpose, state, master, wrapped, uses, created_at, retired_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      key.id,
      key.tenant,
      key.purpose,
      isLate ? 'retired' : key.state,
      key.master,
      Buffer.from(key.wrapped),
      key.uses,
      key.created_at,
      isLate ? Date.now() : key.retired_at,
    ],
  );
}
