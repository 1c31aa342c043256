import { newRequestId } from '../core/ids.ts';

/** A new id of a run: `run_` and a ULID, so that ids sort by time. @param now In ms since the Unix epoch. */
export function newRunId(now: number): string {
  return newRequestId(now).replace(/^req_/, 'run_');
}
