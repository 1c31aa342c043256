import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { secretFile } from '../../security/secret-file.ts';
import type { AuditHead, StoredValue } from './audit-chain.ts';
import { AuditChain, auditColumns, auditKeyFile, genesis, isSame } from './audit-chain.ts';
import { openDatabase } from './database.ts';

/** What came of looking at the whole chain. */
export type AuditVerdict =
  | { readonly isWhole: true; readonly entries: number }
  | { readonly isWhole: false; readonly seq: number; readonly reason: string };

/** The values as they lie there, whatever somebody has made of them, and not as they would be read. */
const raw = auditColumns.flatMap((column, i) => [`typeof("${column}") AS t${i}`, `CAST("${column}" AS BLOB) AS v${i}`]);
const select = `SELECT CAST(seq AS TEXT) AS n, typeof(mac) AS t, CAST(mac AS BLOB) AS mac, ${raw.join(', ')} FROM audit ORDER BY seq`;

/**
 * Looks at every row, and says where the first one is that is not what was written there: changed, missing, added, or
 * moved, also at the end. One row at a time is in memory.
 */
export function verifyAudit(folder: string, databaseFile: string): AuditVerdict {
  const database = openDatabase(join(folder, databaseFile), { readOnly: true, busyTimeoutMs: 5000 });
  try {
    if (existsSync(join(folder, auditKeyFile))) {
      const chain = new AuditChain(secretFile(folder, auditKeyFile));
      // The head first: it never is ahead of the rows that are read after it.
      return verifyChain(chain.readHead(folder), chain, database);
    }
    const first = database.prepare('SELECT min(seq) AS seq FROM audit').get()?.['seq'] ?? null;
    if (first === null) return { isWhole: true, entries: 0 };
    return { isWhole: false, seq: Number(first), reason: `there is no ${auditKeyFile} to check it with` };
  } finally {
    database.close();
  }
}

/** The same of what `database` holds. */
export function verifyChain(
  head: AuditHead | null | 'damaged',
  chain: AuditChain,
  database: DatabaseSync,
): AuditVerdict {
  let last: AuditHead = genesis;
  for (const row of database.prepare(select).iterate()) {
    const seq = Number(row['n']);
    const expected = last.seq + 1;
    if (seq !== expected) {
      const reason = seq > expected ? `entries are missing before ${seq}` : 'an entry that was not written here';
      return { isWhole: false, seq: Math.min(seq, expected), reason };
    }
    const mac = Buffer.from((row['mac'] as Uint8Array | null) ?? []);
    const isRight = row['t'] === 'blob' && isSame(mac, chain.mac(last, seq, valuesOf(row)));
    if (!isRight) return { isWhole: false, seq, reason: 'the entry, or the one before it, is not what was written' };
    last = { seq, mac };
  }
  return verdictAtEnd(last, head);
}

function verdictAtEnd(last: AuditHead, head: AuditHead | null | 'damaged'): AuditVerdict {
  if (head === 'damaged') return { isWhole: false, seq: last.seq, reason: 'audit.head is not what was written' };
  if (head === null && last.seq > 0) return { isWhole: false, seq: last.seq, reason: 'audit.head is missing' };
  if (head !== null && head.seq > last.seq) {
    return { isWhole: false, seq: last.seq + 1, reason: `entries are missing at the end, up to ${head.seq}` };
  }
  return { isWhole: true, entries: last.seq };
}

function valuesOf(row: Readonly<Record<string, unknown>>): StoredValue[] {
  return auditColumns.map((_column, i) => [
    String(row[`t${i}`]),
    (row[`v${i}`] as Uint8Array | null) ?? Buffer.alloc(0),
  ]);
}
