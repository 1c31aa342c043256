import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { firstIdAt } from '../../core/ids.ts';
import type { Removed, Retention } from '../../core/retention.ts';
import { oldPeriod } from '../ledger.ts';
import { grains } from '../rollups.ts';
import { Removal } from './removal.ts';
import type { RemovalOptions } from './removal.ts';

const dayMs = 86_400_000;

/**
 * Removes what is older than it is kept, in small transactions at a pace of their own, and gives the room back to the
 * disk meanwhile.
 * @param now In ms since the Unix epoch.
 */
export async function removeOld(
  database: DatabaseSync,
  retention: Retention,
  now: number,
  options: RemovalOptions = {},
): Promise<Removed> {
  const before = sizeOf(database);
  const removal = new Removal(database, options);
  const log = firstIdAt(now - retention.log * dayMs);
  const requests = removal.plan('requests', 'id', log);
  const attempts = removal.plan('attempts', 'request_id', log);
  const ledger = removal.plan('ledger', 'request_id', log);
  const payload = firstIdAt(now - Math.min(retention.payloads, retention.log) * dayMs);
  const payloads = removal.plan('payloads', 'request_id', payload);
  const sums = Object.values(grains).map((grain) => {
    const days = grain === grains.minute ? Math.min(retention.log, retention.rollups) : retention.rollups;
    return removal.plan('rollups', 'start', now - days * dayMs, grain);
  });
  removal.begin();
  await removal.remove(requests);
  await removal.remove(attempts);
  await removal.archive(ledger, log);
  await removal.removeUses(oldPeriod(now, retention.log));
  await removal.remove(payloads);
  for (const plan of sums) await removal.remove(plan);
  await removal.giveBack();
  return {
    requests: requests.done,
    payloads: payloads.done,
    rollups: sums.reduce((sum, { done }) => sum + done, 0),
    freedBytes: Math.max(0, before - sizeOf(database)),
  };
}

function sizeOf(database: DatabaseSync): number {
  const file = database.location();
  return file === null ? 0 : statSync(file).size;
}
