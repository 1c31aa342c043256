import { MizanError } from '../../core/errors.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import { migrations } from '../migrations/index.ts';
import type { BackupEngine, DatabaseFacts, OnProgress, Scratch } from './contract.ts';
import { readBackup } from './format.ts';
import type { Manifest } from './manifest.ts';
import { damaged } from './manifest.ts';

/** What a backup file is looked at with. */
export interface Reading {
  readonly masterKeys: MasterKeys;
  readonly engine: BackupEngine;
  readonly onProgress: OnProgress;
}

/** The part with the configuration. */
export const configPart = 'config';

/**
 * Reads a whole backup without writing anything: every byte is the one that was written, and it is for this Mizan.
 * @throws MizanError `backup_damaged`, `backup_unusable`.
 */
export async function inspectBackup(file: string, reading: Reading): Promise<Manifest> {
  const manifest = await readBackup(file, reading.masterKeys, {
    onPart: async () => {},
    onBytes: (done, total) => reading.onProgress({ step: 'verifying', done, total }),
  });
  if (manifest.engine !== reading.engine.name) {
    throw new MizanError(
      'backup_unusable',
      `The backup is of ${manifest.engine}, and this Mizan uses ${reading.engine.name}.`,
    );
  }
  const unknown = manifest.migrations.find((name) => !Object.hasOwn(migrations, name));
  if (unknown !== undefined) {
    throw new MizanError(
      'backup_unusable',
      `The backup was made by a newer Mizan (${manifest.program}): this one doesn't know ${unknown}.`,
    );
  }
  return manifest;
}

/**
 * Restores a backup into a scratch database and compares that with the manifest; what is sealed, packed and written is
 * known to come back.
 * @param use Is given the scratch database once it is known to be good.
 * @throws MizanError `backup_damaged`, `backup_unusable`.
 */
export async function withScratch<T>(
  file: string,
  manifest: Manifest,
  reading: Reading & { readonly work: string; readonly onConfig?: (bytes: Buffer) => void },
  use: (scratch: Scratch, manifest: Manifest) => Promise<T>,
): Promise<T> {
  const { engine, work, masterKeys, onProgress } = reading;
  const scratch = await engine.scratch(work, restoredBytes(manifest));
  try {
    const read = await readBackup(file, masterKeys, {
      onPart: async (part) => {
        if (part.name === configPart) reading.onConfig?.(await whole(part.bytes));
        else await scratch.take(part);
      },
      onBytes: (done, total) => onProgress({ step: 'verifying', done, total }),
    });
    compare(read, await scratch.facts(onProgress));
    return await use(scratch, read);
  } finally {
    await scratch.close();
  }
}

/** What restoring a backup needs on the disk, in bytes: its database, as large as it was. */
function restoredBytes(manifest: Manifest): number {
  return manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
}

function compare(manifest: Manifest, facts: DatabaseFacts): void {
  if (manifest.migrations.join() !== facts.migrations.join()) throw damaged('its migrations are not those it had');
  if (manifest.tables.length !== facts.tables.length) throw damaged('its tables are not those it had');
  for (const [i, table] of manifest.tables.entries()) {
    const found = facts.tables[i];
    if (found?.name !== table.name) throw damaged(`the table ${table.name} is missing`);
    if (found.rows !== table.rows) throw damaged(`${table.name} has ${found.rows} rows and not ${table.rows}`);
    if (found.sha256 !== table.sha256) throw damaged(`the rows of ${table.name} are not those it had`);
  }
}

async function whole(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
}
