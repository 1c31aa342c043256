import { DatabaseSync } from 'node:sqlite';
import { firstIdAt } from '../../src/core/ids.ts';

const dayMs = 86_400_000;

/** Rows in one transaction. */
const batch = 100_000;

/**
 * Puts `rows` requests of the tenant `default` over the last `days` into a database that is there, or goes on where an
 * earlier call had to stop.
 * @param deadline On the monotonic clock, in ms: what is missing then is left to another call.
 * @returns When they begin, and how many there are now.
 */
export function fillLog(
  file: string,
  rows: number,
  days: number,
  deadline = Number.POSITIVE_INFINITY,
): { readonly start: number; readonly filled: number } {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -200000');
  const there = database.prepare('SELECT count(*) AS n, min(time) AS first FROM requests').get();
  const start = Number(there?.['first'] ?? Date.now() - days * dayMs);
  const step = (days * dayMs) / rows;
  const insert = database.prepare(`INSERT INTO requests (id, time, tenant, principal, agent, model, instance, provider,
    stream, status, error_code, attempts, cache, input_tokens, output_tokens, cost_usd, usage_source, gateway_ms,
    upstream_ms, first_token_ms, finish_reason, resumed, session, tags, error_message)
    VALUES (?, ?, 'default', 'someone', ?, ?, ?, 'openrouter', 0, ?, ?, 1, 'bypass', 120, 30, 0.00012, 'upstream', 0.4, ?,
    NULL, 'stop', 0, NULL, NULL, ?)`);
  let filled = Number(there?.['n']);
  while (filled < rows && performance.now() < deadline) {
    database.exec('BEGIN');
    for (const end = Math.min(filled + batch, rows); filled < end; filled++) {
      const i = filled;
      const time = Math.floor(start + i * step);
      const isError = i % 50 === 0;
      insert.run(
        `${firstIdAt(time)}${String(i).padStart(16, '0')}`,
        time,
        `agent-${i % 5}`,
        `model-${(i % 5) % 3}`,
        `i-${Math.floor(i / 5) % 2}`,
        isError ? 502 : 200,
        isError ? 'upstream_error' : null,
        20 + ((i * 7919) % 3000),
        isError ? 'openrouter answered with status 502.' : null,
      );
    }
    database.exec('COMMIT');
  }
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
  return { start, filled };
}
