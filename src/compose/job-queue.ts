import { hash } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { nodeName } from '../redis/node-name.ts';
import type { QueuePlace } from '../scheduler/drivers/job-queue.ts';

/** Where the bullmq driver has its queue; `null` where the local one runs the jobs. */
export function jobQueueOf({ redis, database, schedule }: Config, dataFolder: string): QueuePlace | null {
  if (redis.url === null || schedule.driver === 'local') return null;
  const name = database.url === null ? nodeName(dataFolder) : nameOf(database.url.reveal());
  return { url: redis.url, name };
}

/** The same from every machine that names the database alike, whoever it is there. */
function nameOf(databaseUrl: string): string {
  const { host, pathname, searchParams } = new URL(databaseUrl);
  const place = [host, pathname, searchParams.get('host') ?? ''].join(' ');
  return hash('sha256', place, 'hex').slice(0, 16);
}
