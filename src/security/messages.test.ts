import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { caller, exportedKey } from '../../test/support/encrypted.ts';
import { temporaryFolder } from '../../test/support/folder.ts';
import { MizanError } from '../core/errors.ts';
import { openStore } from '../store/sqlite/index.ts';
import { messageKeyOf } from './message-key.ts';
import { Messages } from './messages.ts';

const events = { failed() {}, recovered() {}, dropped() {} };

/** A server that has counted nothing ahead yet, and somebody who keeps its database to himself when told to. */
async function stage() {
  const folder = temporaryFolder();
  await (await openStore(folder)).close();
  const key = await exportedKey(folder, 'acme');
  const store = await openStore(folder, { events });
  const other = new DatabaseSync(join(folder, 'mizan.db'));
  onTestFinished(async () => {
    other.close();
    await store.close();
  });
  const messages = new Messages(store.vault);
  // Its own pairs are made when they are first looked for.
  messages.published();
  return { ...caller(key), messages, other };
}

describe('the answer to an encrypted request', () => {
  test('is counted before the request is acted on, so that a database that is locked by then costs no answer', async () => {
    const { messages, other, encrypt, decrypt } = await stage();
    const opened = await messages.openRequest(await encrypt({}), 'acme');
    other.exec('BEGIN IMMEDIATE');
    expect((await decrypt(await opened.reply('{"a":1}'))).json).toStrictEqual({ a: 1 });
  });

  test('that can not be counted is refused before, as an error of Mizan’s own', async () => {
    const { messages, other, encrypt } = await stage();
    const request = await encrypt({});
    other.exec('BEGIN IMMEDIATE');
    const error = await messages.openRequest(request, 'acme').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MizanError);
    expect((error as MizanError).code).toBe('internal');
  });
});

describe('a public key', () => {
  const x25519 = (x: Buffer) => () => messageKeyOf({ kty: 'OKP', crv: 'X25519', x: x.toString('base64url') });

  test.each([0, 1])('with which nothing can be agreed is refused: X25519 %i', (first) => {
    const point = Buffer.alloc(32);
    point[0] = first;
    expect(x25519(point)).toThrow(/^This key can't be used: no secret can be agreed with it\.$/);
  });

  test('of any other is taken', () => {
    for (let i = 0; i < 20; i++) expect(x25519(randomBytes(32))).not.toThrow();
  });
});
