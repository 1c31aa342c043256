import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';

/** The format that this version writes, and the newest that it reads. */
export const formatVersion = 1;

const engine = z.enum(['sqlite', 'postgres']);

/** What stands readable at the beginning of a backup; everything after it is sealed, and bound to it. */
export const headerSchema = z.strictObject({
  format: z.int(),
  createdAt: z.iso.datetime(),
  program: z.string(),
  engine,
  /** Which master key wrapped the file's own key. */
  masterKey: z.string(),
  /** Names the file's own key, which is for this file alone; 16 hex digits. */
  keyId: z.string(),
  /** That key, wrapped; base64. */
  key: z.base64(),
});

export type BackupHeader = z.output<typeof headerSchema>;

/** What a backup holds; its last piece. */
export const manifestSchema = z.strictObject({
  format: z.int(),
  createdAt: z.iso.datetime(),
  /** The version of Mizan that made it. */
  program: z.string(),
  engine,
  migrations: z.array(z.string()),
  tables: z.array(z.strictObject({ name: z.string(), rows: z.int(), sha256: z.string() })),
  parts: z.array(z.strictObject({ name: z.string(), bytes: z.int(), sha256: z.string() })),
  /** The name of the configuration file in it; `null` where there was none. */
  config: z.string().nullable(),
  /** Which master key opens what is sealed inside the database. The key itself is in no backup. */
  masterKey: z.string(),
});

export type Manifest = z.output<typeof manifestSchema>;

export function damaged(what: string): MizanError {
  return new MizanError('backup_damaged', `The backup is damaged: ${what}.`);
}

/** @throws MizanError `backup_damaged` where the bytes are not JSON of that shape. */
export function parseJson<T>(bytes: Uint8Array, schema: z.ZodType<T>, what: string): T {
  try {
    const result = schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    if (result.success) return result.data;
  } catch {
    // Not JSON: the same, then.
  }
  throw damaged(`${what} can't be read`);
}
