import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Secret } from '../../core/secret.ts';
import type { AuditTable } from '../schema.ts';

/** What is chained, in this order; `seq` goes before them, and `mac` comes of them. */
export const auditColumns = [
  'time',
  'tenant',
  'action',
  'outcome',
  'actor',
  'target',
  'before',
  'after',
  'from_address',
  'request_id',
  'count',
] as const;

/** A row before it has its place in the chain. */
export type AuditRow = Pick<AuditTable, (typeof auditColumns)[number]>;

/** A value as it lies in the database: its storage class, and its bytes. */
export type StoredValue = readonly [type: string, bytes: Uint8Array];

/** Where the chain has got to. */
export interface AuditHead {
  readonly seq: number;
  readonly mac: Buffer;
}

export const auditKeyFile = 'audit.key';
export const auditHeadFile = 'audit.head';

/** Before the first row. */
export const genesis: AuditHead = { seq: 0, mac: Buffer.alloc(32) };

/** The chain's key; without it no row and no head can be made that fits. HMAC-SHA-256, RFC 2104. */
export class AuditChain {
  readonly #key: Secret<string>;

  constructor(key: Secret<string>) {
    this.#key = key;
  }

  /** Every byte of every value counts, and so does where one value ends and the next begins. */
  mac(previous: AuditHead, seq: number, values: readonly StoredValue[]): Buffer {
    const mac = createHmac('sha256', this.#key.reveal()).update(`row ${seq}\n`).update(previous.mac);
    for (const [type, bytes] of values) mac.update(`${type} ${bytes.length}\n`).update(bytes);
    return mac.digest();
  }

  /** Writes the head, wholly or not at all, where `isFurther` still says so. */
  writeHead(folder: string, head: AuditHead, isFurther: () => boolean): void {
    const file = join(folder, auditHeadFile);
    const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
    const mac = head.mac.toString('hex');
    writeFileSync(temporary, `${head.seq} ${mac} ${this.#seal(head).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
    try {
      sync(temporary);
      if (isFurther()) renameSync(temporary, file);
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** `null` where there is none, `damaged` where it is not one that was written with this key. */
  readHead(folder: string): AuditHead | null | 'damaged' {
    let text: string;
    try {
      text = readFileSync(join(folder, auditHeadFile), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
      throw error;
    }
    const [, seq = '', mac = '', seal = ''] = /^(\d{1,15}) ([0-9a-f]{64}) ([0-9a-f]{64})\n$/.exec(text) ?? [];
    const head = { seq: Number(seq), mac: Buffer.from(mac, 'hex') };
    return isSame(this.#seal(head), Buffer.from(seal, 'hex')) ? head : 'damaged';
  }

  #seal({ seq, mac }: AuditHead): Buffer {
    return createHmac('sha256', this.#key.reveal()).update(`head ${seq}\n`).update(mac).digest();
  }
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Until what was written to a file is on the disk. */
export function sync(file: string): void {
  const descriptor = openSync(file, 'r+');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** A row's values as the database will hold them. */
export function storedValues(row: AuditRow): StoredValue[] {
  return auditColumns.map((column) => {
    const value = row[column];
    if (value === null) return ['null', Buffer.alloc(0)];
    return [typeof value === 'number' ? 'integer' : 'text', Buffer.from(String(value))];
  });
}
