import type { Logger } from 'pino';
import { pino } from 'pino';

/** Events with fields; never sentences with values inside, never payloads at info. */
export type Log = Logger;

/** Lines of JSON, from `level` (pino's names) upwards, on stderr: stdout belongs to what commands print. */
export function createLog(level: string): Log {
  return pino({ level, base: null, messageKey: 'message' }, pino.destination({ dest: 2, sync: false }));
}
