import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { MizanError, SetupError } from '../../core/errors.ts';
import type { DataKeyName, MasterKey } from '../../security/master-key.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import { sealedExtra, StreamOpener, StreamSealer } from '../../security/sealed-stream.ts';
import type { Part } from './contract.ts';
import type { BackupHeader, Manifest } from './manifest.ts';
import { damaged, formatVersion, headerSchema, manifestSchema, parseJson } from './manifest.ts';

/**
 * The file: `MIZANBAK`, the header's length and the header in JSON; then pieces, each with its length before it. A
 * piece is one byte for its kind with up to 128 KiB, compressed, then sealed. Parts come one after another, each
 * begun by a piece with its name; the last piece is the manifest. All lengths are 32 bits, big-endian.
 */
const magic = Buffer.from('MIZANBAK');

const kinds = { part: 1, data: 2, manifest: 3 } as const;

/** Longer ones take no less room, and are longer steps. */
const pieceBytes = 128 * 1024;
const mostHeaderBytes = 64 * 1024;
/** A manifest may be longer than data: it grows with the number of tables. */
const mostPieceBytes = 16 * 1024 * 1024;

const zstd = { params: { [constants.ZSTD_c_compressionLevel]: 3 } };

type PartFacts = Manifest['parts'][number];

/** A file, piece by piece: each is good until the next is asked for, and is read on this thread. */
export function* piecesOf(path: string): Generator<Buffer> {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(pieceBytes);
    for (;;) {
      const bytes = readSync(file, buffer);
      if (bytes === 0) return;
      yield buffer.subarray(0, bytes);
    }
  } finally {
    closeSync(file);
  }
}

/** Writes one backup from its beginning to its end. Compresses and seals on this thread. */
export class BackupWriter {
  readonly #file: FileHandle;
  readonly #sealer: StreamSealer;
  readonly #parts: PartFacts[] = [];

  private constructor(file: FileHandle, sealer: StreamSealer) {
    this.#file = file;
    this.#sealer = sealer;
  }

  static async begin(
    file: FileHandle,
    masterKey: MasterKey,
    facts: Pick<BackupHeader, 'createdAt' | 'program' | 'engine'>,
  ): Promise<BackupWriter> {
    const key = randomBytes(32);
    const keyId = randomBytes(8).toString('hex');
    const wrapped = masterKey.wrap(key, keyName(keyId)).toString('base64');
    const header: BackupHeader = { format: formatVersion, ...facts, masterKey: masterKey.id, keyId, key: wrapped };
    const bytes = Buffer.from(JSON.stringify(header));
    const start = Buffer.concat([magic, length(bytes), bytes]);
    await file.writeFile(start);
    return new BackupWriter(file, new StreamSealer(key, hashOf(start)));
  }

  async part(part: Part, onBytes: (bytes: number) => void): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    await this.#piece('part', Buffer.from(part.name), false);
    for await (const chunk of part.bytes) {
      for (let from = 0; from < chunk.length; from += pieceBytes) {
        const data = chunk.subarray(from, from + pieceBytes);
        hash.update(data);
        bytes += data.length;
        await this.#piece('data', data, false);
        onBytes(data.length);
      }
    }
    this.#parts.push({ name: part.name, bytes, sha256: hash.digest('hex') });
  }

  async end(facts: Omit<Manifest, 'format' | 'parts'>): Promise<Manifest> {
    const manifest = { format: formatVersion, ...facts, parts: this.#parts };
    await this.#piece('manifest', Buffer.from(JSON.stringify(manifest)), true);
    await this.#file.sync();
    return manifest;
  }

  async #piece(kind: keyof typeof kinds, data: Uint8Array, isLast: boolean): Promise<void> {
    const inside = zstdCompressSync(Buffer.concat([Buffer.of(kinds[kind]), data]), zstd);
    const sealed = this.#sealer.seal(inside, isLast);
    await this.#file.writeFile(Buffer.concat([length(sealed), sealed]));
  }
}

/** A part as it comes out of a backup. What it should hash to is known only at the end, by the manifest. */
export type OnPart = (part: Part) => Promise<void>;

/**
 * Reads a backup from its beginning to its end and gives its parts to `onPart`, which has to take in each wholly.
 * @param onBytes Is told how far it has come in the file.
 * @throws MizanError `backup_unusable` for another key or a newer format, before `onPart` is called; `backup_damaged`
 * where any byte was changed, cut off or added, which may be found only after `onPart` was given what came before it.
 */
export async function readBackup(
  path: string,
  masterKeys: MasterKeys,
  use: { readonly onPart: OnPart; readonly onBytes: (done: number, total: number) => void },
): Promise<Manifest> {
  const file = await open(path, 'r');
  try {
    const pieces = new PieceReader(file, masterKeys);
    await pieces.begin(use.onBytes);
    const parts: PartFacts[] = [];
    let piece = await pieces.next();
    while (piece.kind === kinds.part) {
      const hash = createHash('sha256');
      const name = piece.data.toString();
      let bytes = 0;
      let next = await pieces.next();
      const chunks = async function* (): AsyncGenerator<Buffer> {
        for (; next.kind === kinds.data; next = await pieces.next()) {
          hash.update(next.data);
          bytes += next.data.length;
          yield next.data;
        }
      };
      const stream = chunks();
      await use.onPart({ name, bytes: stream });
      // What nobody wanted is read all the same: its hash counts.
      for await (const _ of stream);
      parts.push({ name, bytes, sha256: hash.digest('hex') });
      piece = next;
    }
    if (piece.kind !== kinds.manifest) throw damaged('its pieces are not in order');
    await pieces.end();
    const manifest = parseJson(piece.data, manifestSchema, 'its manifest');
    if (JSON.stringify(manifest.parts) !== JSON.stringify(parts)) throw damaged('its parts are not what it says');
    return manifest;
  } finally {
    await file.close();
  }
}

interface Piece {
  readonly kind: number;
  readonly data: Buffer;
}

/** Opens one piece after another. */
class PieceReader {
  readonly #file: FileHandle;
  readonly #masterKeys: MasterKeys;
  #opener: StreamOpener | null = null;
  #onBytes: (done: number, total: number) => void = () => {};
  #at = 0;
  #size = 0;

  constructor(file: FileHandle, masterKeys: MasterKeys) {
    this.#file = file;
    this.#masterKeys = masterKeys;
  }

  async begin(onBytes: (done: number, total: number) => void): Promise<void> {
    this.#onBytes = onBytes;
    this.#size = (await this.#file.stat()).size;
    const start = await this.#take(magic.length + 4);
    if (!start.subarray(0, magic.length).equals(magic)) throw damaged('this is no backup of Mizan');
    const bytes = await this.#take(atMost(start.readUInt32BE(magic.length), mostHeaderBytes));
    const key = unwrapped(bytes, this.#masterKeys);
    this.#opener = new StreamOpener(key, hashOf(Buffer.concat([start, bytes])));
  }

  async next(): Promise<Piece> {
    const sealed = await this.#take(atMost((await this.#take(4)).readUInt32BE(), mostPieceBytes + sealedExtra));
    const inside = this.#opener?.open(sealed) ?? null;
    if (inside === null) throw damaged(`the bytes before ${this.#at} are not those that were written`);
    this.#onBytes(this.#at, this.#size);
    const data = unpacked(inside);
    return { kind: data[0] ?? 0, data: data.subarray(1) };
  }

  /** Sees that there was nothing after the last piece, and that there was one. */
  async end(): Promise<void> {
    if (this.#opener?.isOver !== true) throw damaged('its end is missing');
    if (this.#at !== this.#size) throw damaged('there is more after its end');
  }

  async #take(count: number): Promise<Buffer> {
    if (this.#at + count > this.#size) throw damaged('its end is missing');
    const buffer = Buffer.allocUnsafe(count);
    let filled = 0;
    while (filled < count) {
      const { bytesRead } = await this.#file.read(buffer, filled, count - filled, this.#at + filled);
      if (bytesRead === 0) throw damaged('its end is missing');
      filled += bytesRead;
    }
    this.#at += count;
    return buffer;
  }
}

function unwrapped(bytes: Buffer, masterKeys: MasterKeys): Buffer {
  const header = parseJson(bytes, headerSchema, 'its header');
  if (header.format > formatVersion) {
    throw new MizanError(
      'backup_unusable',
      `The backup was made by a newer Mizan (${header.program}); this one can't read it.`,
    );
  }
  if (header.format !== formatVersion) throw damaged('its header has no known format');
  const given = currentOf(masterKeys);
  const masterKey = masterKeys.find(header.masterKey);
  if (masterKey === undefined) {
    throw new MizanError(
      'backup_unusable',
      `The backup is sealed under another master key (${header.masterKey}); the one given is ${given.id}.`,
    );
  }
  try {
    return masterKey.unwrap(Buffer.from(header.key, 'base64'), keyName(header.keyId));
  } catch {
    throw damaged('its key was changed');
  }
}

function currentOf(masterKeys: MasterKeys): MasterKey {
  try {
    return masterKeys.current(false);
  } catch (cause) {
    throw new SetupError('A backup opens only with the master key it was sealed under (MIZAN_MASTER_KEY)', cause);
  }
}

/** What a file's own key is wrapped as: its purpose keeps it apart from every data key. */
function keyName(id: string): DataKeyName {
  return { id, tenant: 'system', purpose: 'backup' };
}

function unpacked(inside: Buffer): Buffer {
  try {
    return zstdDecompressSync(inside, { maxOutputLength: mostPieceBytes });
  } catch {
    throw damaged('a piece of it can’t be unpacked');
  }
}

function atMost(bytes: number, most: number): number {
  if (bytes > most) throw damaged('a length in it is too large');
  return bytes;
}

function length(bytes: Uint8Array): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(bytes.length);
  return buffer;
}

function hashOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
