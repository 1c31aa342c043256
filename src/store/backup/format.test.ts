import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { MizanError } from '../../core/errors.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import { aMasterKey, keysOf } from './backup.suite.ts';
import type { Part } from './contract.ts';
import { BackupWriter, readBackup } from './format.ts';

const keys = keysOf(aMasterKey(), '/nowhere');
const facts = { createdAt: '2026-11-24T19:34:09.000Z', program: '0.1.0', engine: 'sqlite' } as const;

async function write(parts: readonly Part[], file: string, masterKeys: MasterKeys = keys): Promise<void> {
  const handle = await open(file, 'w');
  const writer = await BackupWriter.begin(handle, masterKeys.current(false), facts);
  for (const part of parts) await writer.part(part, () => {});
  await writer.end({ ...facts, migrations: [], tables: [], config: null, masterKey: masterKeys.current(false).id });
  await handle.close();
}

/** What the parts held, by name. */
async function read(file: string, masterKeys: MasterKeys = keys): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  await readBackup(file, masterKeys, {
    async onPart({ name, bytes }) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of bytes) chunks.push(chunk);
      found.set(name, Buffer.concat(chunks));
    },
    onBytes() {},
  });
  return found;
}

test('what was written comes back, however it was cut', async () => {
  const file = join(temporaryFolder(), 'x');
  const large = randomBytes(1_500_000);
  const parts = [
    { name: 'empty', bytes: [] },
    { name: 'large', bytes: [large.subarray(0, 1_100_000), large.subarray(1_100_000)] },
    { name: 'اسم', bytes: [Buffer.from('a'), Buffer.alloc(0), Buffer.from('b')] },
  ];
  await write(parts, file);
  const found = await read(file);
  expect([...found.keys()]).toEqual(['empty', 'large', 'اسم']);
  for (const { name, bytes } of parts) expect(found.get(name)?.equals(Buffer.concat(bytes))).toBe(true);
});

test('a part that nobody reads counts all the same', async () => {
  const file = join(temporaryFolder(), 'x');
  await write(
    [
      { name: 'a', bytes: [randomBytes(600_000)] },
      { name: 'b', bytes: [Buffer.from('b')] },
    ],
    file,
  );
  const names: string[] = [];
  const manifest = await readBackup(file, keys, {
    onPart: async ({ name }) => void names.push(name),
    onBytes() {},
  });
  expect(names).toEqual(['a', 'b']);
  expect(manifest.parts.map(({ bytes }) => bytes)).toEqual([600_000, 1]);
});

test('nothing of what is in it can be read without the key', async () => {
  const file = join(temporaryFolder(), 'x');
  await write([{ name: 'config', bytes: [Buffer.from('a very secret word')] }], file);
  const bytes = await readFile(file);
  for (const word of ['secret word', 'config', 'manifest']) expect(bytes.includes(word)).toBe(false);
});

test('another master key is told from damage', async () => {
  const file = join(temporaryFolder(), 'x');
  await write([], file);
  await expect(read(file, keysOf(aMasterKey(), '/nowhere'))).rejects.toMatchObject({ code: 'backup_unusable' });
});

describe('a backup in which', () => {
  let whole: Buffer;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mizan-test-'));
    const file = join(folder, 'whole');
    await write(
      [
        { name: 'config', bytes: [randomBytes(300)] },
        { name: 'database', bytes: [randomBytes(700)] },
      ],
      file,
    );
    whole = await readFile(file);
    return () => rmSync(folder, { recursive: true });
  });

  const refusal = async (bytes: Uint8Array): Promise<unknown> => {
    const file = join(folder, 'tampered');
    writeFileSync(file, bytes);
    return read(file).catch((error: unknown) => error);
  };

  // Thousands of files are read for it, and the machine may have much else to do.
  test('any byte is another one is refused', { timeout: 120_000 }, async () => {
    // Every byte of the file is one of them.
    for (let at = 0; at < whole.length; at++) {
      const error = await refusal(whole.with(at, (whole[at] ?? 0) ^ (1 << (at % 8))));
      expect(error, `byte ${at}`).toBeInstanceOf(MizanError);
      expect((error as MizanError).code).toMatch(/^backup_(damaged|unusable)$/);
    }
  });

  test('anything is missing at the end, or is added, is refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 1 }), async (length) => {
        expect(await refusal(whole.subarray(0, length))).toMatchObject({ code: 'backup_damaged' });
      }),
    );
    expect(await refusal(Buffer.concat([whole, Buffer.alloc(1)]))).toMatchObject({ code: 'backup_damaged' });
    expect(await refusal(Buffer.concat([whole, whole]))).toMatchObject({ code: 'backup_damaged' });
  });

  test('bytes were left out, doubled or moved is refused', async () => {
    const anyRange = fc.tuple(fc.nat({ max: whole.length - 2 }), fc.integer({ min: 1, max: 400 }));
    await fc.assert(
      fc.asyncProperty(anyRange, fc.boolean(), async ([from, count], isDoubled) => {
        const to = Math.min(from + count, whole.length);
        const piece = whole.subarray(from, to);
        const rest = [whole.subarray(0, from), ...(isDoubled ? [piece, piece] : []), whole.subarray(to)];
        expect(await refusal(Buffer.concat(rest))).toMatchObject({ code: expect.stringMatching(/^backup_/) as string });
      }),
    );
  });
});
