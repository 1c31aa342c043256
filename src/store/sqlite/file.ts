import type { Secret } from '../../core/secret.ts';

/** The database's name in the data folder. */
export const databaseFile = 'mizan.db';

/** The local database beside PostgreSQL: rows that are on their way there, and what has to be known without asking. */
export const outboxFile = 'outbox.db';

/** The file with what is sealed, and the keys to it. @param url Of PostgreSQL; `null` without. */
export function vaultFile(url: Secret<string> | null): string {
  return url === null ? databaseFile : outboxFile;
}
