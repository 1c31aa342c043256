import type { RedisEvents } from '../redis/connection.ts';
import type { AuditLogEvents } from '../store/sqlite/audit-log.ts';
import type { PayloadEvents, StoreEvents } from '../store/index.ts';
import type { Log } from '../telemetry/log.ts';

// What happens to what is kept and shared, as events of the log.

export function storeEvents(log: Log): StoreEvents {
  return {
    failed: (err) => log.error({ event: 'request_log_failed', err }),
    recovered: () => log.info({ event: 'request_log_recovered' }),
    // All of it: the log is the last place where it can be, and "mizan requests import" takes it from there.
    dropped: (row) => log.error({ event: 'request_log_row_dropped', requestId: row.id, row }),
    away: (reason) => log.error({ event: 'database_away', reason }),
    back: () => log.info({ event: 'database_back' }),
  };
}

export function redisEvents(log: Log): RedisEvents {
  return {
    away: (reason) => log.error({ event: 'redis_away', reason }),
    back: () => log.info({ event: 'redis_back' }),
    refused: (reason) => log.error({ event: 'redis_refused', reason }),
  };
}

export function auditLogEvents(log: Log): AuditLogEvents {
  return {
    failed: (err) => log.error({ event: 'audit_log_failed', err }),
    recovered: () => log.info({ event: 'audit_log_recovered' }),
    dropped: (action) => log.error({ event: 'audit_log_entry_dropped', action }),
  };
}

export function payloadEvents(log: Log): PayloadEvents {
  return {
    failed: (err) => log.error({ event: 'payloads_failed', err }),
    recovered: () => log.info({ event: 'payloads_recovered' }),
    dropped: (count) => log.error({ event: 'payloads_dropped', count }),
  };
}
