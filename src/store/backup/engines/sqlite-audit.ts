import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '../../../core/secret.ts';
import { AuditChain, auditHeadFile, auditKeyFile, genesis } from '../../sqlite/audit-chain.ts';
import { openDatabase } from '../../sqlite/database.ts';
import { syncFile } from '../../swap.ts';
import type { Part } from '../contract.ts';

/** The part with the audit log's key, so that a restored log can be verified and goes on. */
export const auditKeyPart = auditKeyFile;

/** The key of the data folder's audit log, if it has one: without an entry there is none. */
export function auditKeyParts(dataFolder: string): Part[] {
  const file = join(dataFolder, auditKeyFile);
  return existsSync(file) ? [{ name: auditKeyPart, bytes: [readFileSync(file)] }] : [];
}

/**
 * Lays the restored key, and the head of the restored log, beside those that are there.
 * @returns How they come to be in use: what was there goes to `aside`.
 */
export function auditRenames(
  key: Buffer,
  place: { readonly dataFolder: string; readonly scratch: string; readonly work: string; readonly aside: string },
): { readonly old: readonly (readonly [string, string])[]; readonly restored: readonly (readonly [string, string])[] } {
  const { dataFolder, scratch, work, aside } = place;
  const files = [auditKeyFile, auditHeadFile] as const;
  writeFileSync(join(work, auditKeyFile), key, { mode: 0o600, flush: true });
  writeHead(new AuditChain(new Secret(key.toString('utf8').trim())), scratch, work);
  for (const name of files) {
    syncFile(join(work, name));
    renameSync(join(work, name), join(dataFolder, `${name}.restored`));
  }
  return {
    old: files.filter((name) => existsSync(join(dataFolder, name))).map((name) => [name, join(aside, name)] as const),
    restored: files.map((name) => [`${name}.restored`, name] as const),
  };
}

function writeHead(chain: AuditChain, scratch: string, work: string): void {
  const database = openDatabase(scratch, { readOnly: true, busyTimeoutMs: 0 });
  try {
    const newest = database.prepare('SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1').get();
    const head =
      newest === undefined ? genesis : { seq: Number(newest['seq']), mac: Buffer.from(newest['mac'] as Uint8Array) };
    chain.writeHead(work, head, () => true);
  } finally {
    database.close();
  }
}
