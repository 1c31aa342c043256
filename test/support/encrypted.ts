import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { Messages } from '../../src/security/messages.ts';
import { decryptMessage, encryptMessage } from '../../src/security/jwe.ts';
import type { MessageJwk, MessageKey } from '../../src/security/message-key.ts';
import { messageKeyOf } from '../../src/security/message-key.ts';
import { openStore } from '../../src/store/sqlite/index.ts';
import type { Answer } from './http.ts';
import { ask } from './http.ts';

/** The key of a tenant's messages, as `mizan secrets export-message-key` prints it. */
export async function exportedKey(dataFolder: string, tenant = 'default'): Promise<MessageKey> {
  const store = await openStore(dataFolder);
  try {
    return new Messages(store.vault).ringOf(tenant).current();
  } finally {
    await store.close();
  }
}

/** One caller that encrypts: with a key of both, or to one of the server's with a pair of its own for the answers. */
export interface Caller {
  encrypt(body: unknown, header?: object): Promise<string>;
  decrypt(token: string): Promise<{ readonly json: unknown; readonly header: Readonly<Record<string, unknown>> }>;
}

export function caller(key: MessageKey, now: () => number = Date.now): Caller {
  const pair =
    key.algorithm === 'dir' ? null : (generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' }) as MessageJwk);
  const own = pair === null ? key : messageKeyOf(pair);
  const { d: _d, ...shut } = pair ?? {};
  const replies = pair === null ? {} : { reply_jwk: shut };
  return {
    encrypt: (body, header = {}) =>
      encryptMessage(Buffer.from(JSON.stringify(body)), key, {
        jti: randomUUID(),
        iat: Math.floor(now() / 1000),
        ...replies,
        ...header,
      }),
    async decrypt(token) {
      const { data, header } = await decryptMessage(token, () => [own]);
      return { json: JSON.parse(data.toString()), header };
    },
  };
}

/** The server's public keys, in its own order: P-256 and X25519. */
export async function publishedKeys(url: string): Promise<MessageKey[]> {
  const { json } = await ask(`${url}/.well-known/jwks.json`);
  return (json as { readonly keys: MessageJwk[] }).keys.map(messageKeyOf);
}

export function postJose(url: string, token: string, body: string): Promise<Answer> {
  return ask(`${url}/ai-process`, { method: 'POST', token, headers: { 'content-type': 'application/jose' }, body });
}
