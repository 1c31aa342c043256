import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { MessageJwk } from '../src/security/index.ts';
import { AISecurity } from '../src/security/index.ts';
import { temporaryFolder } from './support/folder.ts';
import { ask } from './support/http.ts';
import { postJose } from './support/encrypted.ts';
import { installJose, pipe } from './support/jose.ts';
import { runMizan } from './support/mizan.ts';

let jose = '';

beforeAll(() => {
  jose = installJose();
}, 400_000);

/** A key that the other implementation makes, and its public half. */
async function keyOf(template: object): Promise<{ key: MessageJwk; shut: MessageJwk }> {
  const key = JSON.parse(await pipe(jose, ['jwk', 'gen', '-i', JSON.stringify(template)], '')) as MessageJwk;
  if (key.kty === 'oct') return { key, shut: key };
  return { key, shut: JSON.parse(await pipe(jose, ['jwk', 'pub', '-i', '-'], JSON.stringify(key))) as MessageJwk };
}

function file(content: string): string {
  const path = join(temporaryFolder(), 'content');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

// It has no X25519.
const kinds: [name: string, template: object, algorithm: string][] = [
  ['dir', { kty: 'oct', bytes: 32, kid: 'a symmetric one' }, 'dir'],
  ['ECDH-ES+A256KW on P-256', { kty: 'EC', crv: 'P-256', kid: 'a pair' }, 'ECDH-ES+A256KW'],
];

describe.each(kinds)('with another implementation of JOSE, %s', (_name, template, alg) => {
  test.each([
    ['a text', 'سلام, hello', 'سلام, hello'],
    ['JSON', { input: 'Say hello', params: { n: [1, null] } }, '{"input":"Say hello","params":{"n":[1,null]}}'],
    ['nothing', '', ''],
  ] as const)('it opens what AISecurity encrypts: %s', async (_what, data, expected) => {
    const { key, shut } = await keyOf(template);
    const token = await new AISecurity({ keys: [shut] }).encryptData(data, { context: 'c' });
    expect(await pipe(jose, ['jwe', 'dec', '-i', '-', '-k', file(JSON.stringify(key))], token)).toBe(expected);
  });

  test('AISecurity opens what it encrypts, with and without a type', async () => {
    const { key, shut } = await keyOf(template);
    const header = { protected: { alg, enc: 'A256GCM', kid: key.kid } };
    const typed = { protected: { ...header.protected, cty: 'json' } };
    const encrypt = (given: object): Promise<string> =>
      pipe(jose, ['jwe', 'enc', '-c', '-i', JSON.stringify(given), '-I', '-', '-k', file(JSON.stringify(shut))], text);
    const text = '{"hello":"مرحبا"}';
    const security = new AISecurity({ keys: [key] });
    expect(await security.decryptData((await encrypt(header)).trim())).toBe(text);
    expect(await security.decryptData((await encrypt(typed)).trim())).toStrictEqual({ hello: 'مرحبا' });
  });
});

test('a caller with nothing but the other implementation runs an agent', async () => {
  const mizan = await runMizan({ providers: { sim: { kind: 'simulator' } } });
  const { json } = await ask(`${mizan.url}/.well-known/jwks.json`);
  const [server] = (json as { readonly keys: readonly MessageJwk[] }).keys;
  const { key, shut } = await keyOf({ kty: 'EC', crv: 'P-256' });
  const times = { jti: randomUUID(), iat: Math.floor(Date.now() / 1000) };
  const header = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: server?.kid, reply_jwk: shut, ...times };
  const encrypt = ['jwe', 'enc', '-c', '-i', JSON.stringify({ protected: header }), '-I', '-'];
  const request = await pipe(jose, [...encrypt, '-k', file(JSON.stringify(server))], '{"input":"Say hello"}');
  const answer = await postJose(mizan.url, await mizan.token(), request);
  expect(answer.status).toBe(200);
  const opened = await pipe(jose, ['jwe', 'dec', '-i', '-', '-k', file(JSON.stringify(key))], answer.text);
  expect(JSON.parse(opened)).toMatchObject({ agent: 'assistant', finish_reason: 'stop' });
  await mizan.end();
});
