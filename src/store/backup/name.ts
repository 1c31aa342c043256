import { randomBytes } from 'node:crypto';

const pattern = /^mizan-(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)Z-[0-9a-f]{6}\.backup$/;

/** `mizan-2026-11-24T19-34-09Z-3fa2c1.backup`: sorts by time, and is a file's name everywhere. */
export function backupName(createdAt: number): string {
  const time = new Date(createdAt).toISOString().slice(0, 19).replaceAll(':', '-');
  return `mizan-${time}Z-${randomBytes(3).toString('hex')}.backup`;
}

/** When the backup of this name was made, in ms since the Unix epoch; `undefined` where it is no backup's name. */
export function timeOfName(name: string): number | undefined {
  const [, day, hours, minutes, seconds] = pattern.exec(name) ?? [];
  const time = Date.parse(`${day}T${hours}:${minutes}:${seconds}Z`);
  return Number.isNaN(time) ? undefined : time;
}

interface Dated {
  readonly name: string;
  readonly createdAt: number;
}

/** The order of every list; of the same moment, by name. */
export function newestFirst(a: Dated, b: Dated): number {
  if (a.createdAt !== b.createdAt) return b.createdAt - a.createdAt;
  return a.name === b.name ? 0 : a.name < b.name ? 1 : -1;
}
