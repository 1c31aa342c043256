import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CryptoKey, JWK } from 'jose';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';

/** A key of an issuer's, and its public half as the key set shows it. */
export interface IssuerKey {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}

export async function issuerKey(alg: string, kid: string): Promise<IssuerKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
  return { alg, kid, privateKey, publicKey, jwk };
}

/** Somebody else who signs tokens, over HTTP on this machine. */
export interface TestIssuer {
  readonly url: string;
  readonly jwksUri: string;
  /** What its key set shows from now on. */
  keys: readonly IssuerKey[];
  /** What it answers with from now on; `null` where it hangs up. */
  status: number | null;
  /** What its discovery document says differently. */
  discovery: Readonly<Record<string, unknown>>;
  /** The paths that were asked for. */
  readonly asked: string[];
  sign(key: IssuerKey, claims?: object, header?: object): Promise<string>;
  close(): Promise<void>;
}

/** Ends with the test that starts it, unless the test ends it before. */
export async function startIssuer(...keys: readonly IssuerKey[]): Promise<TestIssuer> {
  const server = createServer((request, response) => {
    issuer.asked.push(request.url ?? '');
    if (issuer.status === null) {
      request.socket.destroy();
      return;
    }
    const isDiscovery = request.url === '/.well-known/openid-configuration';
    const body = isDiscovery
      ? { issuer: issuer.url, jwks_uri: issuer.jwksUri, ...issuer.discovery }
      : { keys: issuer.keys.map(({ jwk }) => jwk) };
    response.writeHead(issuer.status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  onTestFinished(() => issuer.close());
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer: TestIssuer = {
    url,
    jwksUri: `${url}/keys`,
    keys,
    status: 200,
    discovery: {},
    asked: [],
    sign: (key, claims = {}, header = {}) =>
      new SignJWT({ iss: url, aud: 'mizan', sub: 'someone', exp: 4_000_000_000, ...claims })
        .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header })
        .sign(key.privateKey),
    async close() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return issuer;
}
