import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEvent } from '../../core/audit.ts';
import { holdData } from '../folder-lock.ts';
import { directAuditLog } from './audit-log.ts';
import { AuditWriter } from './audit-writer.ts';
import { openToLook } from './database.ts';
import { databaseFile } from './file.ts';

/**
 * Appends an entry where there is an audit log already: for a command that needs nothing else of the database, and loads
 * nothing for it.
 * @returns Whether there is one.
 * @throws SetupError where the data folder can't be used; what stands in the way of writing.
 */
export function noteInAudit(folder: string, event: AuditEvent): boolean {
  if (!existsSync(join(folder, databaseFile))) return false;
  const hold = holdData(folder);
  const writer = new AuditWriter(folder, databaseFile);
  try {
    if (!hasAudit(join(folder, databaseFile))) return false;
    const log = directAuditLog(
      (rows) => writer.append(rows),
      (error) => {
        throw error;
      },
    );
    log.record(event);
    return true;
  } finally {
    writer.close();
    hold.release();
  }
}

function hasAudit(file: string): boolean {
  const database = openToLook(file);
  try {
    return database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").get() !== undefined;
  } finally {
    database.close();
  }
}
