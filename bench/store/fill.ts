import { DatabaseSync } from 'node:sqlite';
import { firstIdAt } from '../../src/core/ids.ts';

const dayMs = 86_400_000;

/** Puts `rows` requests of the tenant `default` over the last `days` into a database that is there. When they begin. */
export function fillLog(file: string, rows: number, days: number): number {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -200000');
  const start = Date.now() - days * dayMs;
  const step = (days * dayMs) / rows;
  const insert = database.prepare(`INSERT INTO requests (id, time, tenant, principal, agent, model, instance, provider,
    stream, status, error_code, attempts, cache, input_tokens, output_tokens, cost_usd, usage_source, gateway_ms,
    upstream_ms, first_token_ms, finish_reason, resumed, session, tags, error_message)
    VALUES (?, ?, 'default', 'someone', ?, ?, ?, 'openrouter', 0, ?, ?, 1, 'bypass', 120, 30, 0.00012, 'upstream', 0.4, ?,
    NULL, 'stop', 0, NULL, NULL, ?)`);
  for (let i = 0; i < rows; i++) {
    if (i % 100_000 === 0) database.exec(i === 0 ? 'BEGIN' : 'COMMIT; BEGIN');
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
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
  return start;
}
