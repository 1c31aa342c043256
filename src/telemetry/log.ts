import type { Logger } from 'pino';
import { pino } from 'pino';

/** Events with fields; never sentences with values inside, never payloads at info. */
export type Log = Logger;

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export type LogLevel = (typeof logLevels)[number];

/** Lines of JSON on stderr: stdout belongs to what commands print. */
export function createLog(level: LogLevel): Log {
  return pino({ level, base: null, messageKey: 'message' }, pino.destination({ dest: 2, sync: false }));
}
