import { decodeJwt } from 'jose';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { apiKeyRecord } from '../../../test/support/api-key.ts';
import { ManualClock } from '../../../test/support/clock.ts';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { ApiKeyRecord } from '../../core/api-key.ts';
import { MizanError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import type { Revocation } from '../../core/revocation.ts';
import { Secret } from '../../core/secret.ts';
import { newApiKey } from '../../security/api-keys.ts';
import { Tokens } from '../../security/tokens.ts';
import { openStore } from '../../store/sqlite/index.ts';
import { Authenticator } from './authenticator.ts';

const grant = { tenant: 'acme', role: 'member', agents: null, ttl: 60 } as const;

async function stage() {
  const clock = new ManualClock();
  const folder = temporaryFolder();
  const store = await openStore(folder, { clock });
  onTestFinished(() => store.close());
  const tokens = new Tokens({ secret: new Secret('s'.repeat(32)), issuer: 'mizan', audience: 'mizan' });
  const verify = vi.spyOn(tokens, 'verify');
  const authenticator = new Authenticator(tokens, store.apiKeys, store.revocations, clock);
  const connection = {};
  const named = new Map<string, object>();
  const connectionOf = (name: string): object => {
    const found = named.get(name) ?? {};
    named.set(name, found);
    return found;
  };
  return {
    clock,
    verify,
    folder,
    apiKeys: store.apiKeys,
    revocations: store.revocations,
    /** All on one connection, unless another is named or given. */
    as: (authorization: string | undefined, on: object | string = connection) =>
      authenticator.authenticate(authorization, typeof on === 'string' ? connectionOf(on) : on),
    tokenFor: (subject: string, over: Partial<Parameters<Tokens['sign']>[0]> = {}) =>
      tokens.sign({ ...grant, subject, ...over }, clock.now()),
    /** A key that is kept, and what it is. */
    keyOf(over: Partial<ApiKeyRecord> = {}): string {
      const { id, key, hash } = newApiKey();
      store.apiKeys.insert(apiKeyRecord({ id, hash, role: 'operator', agents: ['a'], ...over }));
      return key.reveal();
    },
  };
}

async function refusal(authenticated: () => Principal | Promise<Principal>): Promise<MizanError> {
  try {
    await authenticated();
  } catch (error) {
    if (error instanceof MizanError) return error;
    throw error;
  }
  throw new Error('it was let in');
}

describe('no identity', () => {
  test.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer  ',
    'Basic dXNlcjpwYXNz',
    'bearerx',
    'Bearer: x',
    'Token x',
    'Bearer two words',
    'Bearer سلام',
    'Bearer a\tb',
    ' Bearer x',
    'x Bearer y',
  ])('is what %j says', async (authorization) => {
    const { as } = await stage();
    expect(await refusal(() => as(authorization))).toMatchObject({ code: 'missing_identity', status: 401 });
  });
});

describe('a token', () => {
  test.each(['Bearer ', 'bearer ', 'BEARER ', 'bEaReR   '])('is known after %j', async (scheme) => {
    const { as, tokenFor } = await stage();
    expect(await as(`${scheme}${await tokenFor('ci')}`)).toStrictEqual({
      subject: 'ci',
      tenant: 'acme',
      role: 'member',
      agents: null,
      models: null,
      scope: 'own',
      via: 'jwt',
      credential: expect.any(String),
    });
  });

  test('may have spaces after it', async () => {
    const { as, tokenFor } = await stage();
    expect(await as(`Bearer ${await tokenFor('ci')}  `)).toMatchObject({ subject: 'ci' });
  });

  test('that shares its first 200 characters with another is another identity', async () => {
    const { as, tokenFor } = await stage();
    const agents = Array.from({ length: 20 }, (_, i) => `agent-${i}`);
    const mine = await tokenFor('mine', { agents });
    const theirs = await tokenFor('theirs', { agents });
    expect(mine.slice(0, 200)).toBe(theirs.slice(0, 200));
    expect(await as(`Bearer ${mine}`)).toMatchObject({ subject: 'mine' });
    expect(await as(`Bearer ${theirs}`)).toMatchObject({ subject: 'theirs' });
    expect(await as(`Bearer ${mine}`)).toMatchObject({ subject: 'mine' });
  });

  test('is whoever sends it, whatever came before on its connection or another', async () => {
    const { as, tokenFor } = await stage();
    const [mine, theirs] = [`Bearer ${await tokenFor('mine')}`, `Bearer ${await tokenFor('theirs')}`];
    const connections = [{}, {}];
    for (const header of [mine, mine, theirs, theirs, mine]) {
      for (const connection of connections) {
        expect(await as(header, connection)).toMatchObject({ subject: header === mine ? 'mine' : 'theirs' });
      }
    }
    for (const connection of connections) {
      expect((await refusal(() => as(undefined, connection))).code).toBe('missing_identity');
      expect((await refusal(() => as(`${mine}A`, connection))).code).toBe('invalid_token');
    }
  });

  test('that was verified once is known at once from then on', async () => {
    const { as, tokenFor, verify } = await stage();
    const token = await tokenFor('ci');
    const first = await as(`Bearer ${token}`);
    const again = as(`bearer  ${token} `);
    expect(again).not.toBeInstanceOf(Promise);
    expect(again).toStrictEqual(first);
    expect(verify).toHaveBeenCalledOnce();
  });

  test('that was verified once expires all the same', async () => {
    const { as, tokenFor, clock } = await stage();
    const token = await tokenFor('ci', { ttl: 60 });
    for (let i = 0; i < 3; i++) await as(`Bearer ${token}`);
    clock.advance(89_000);
    expect(await as(`Bearer ${token}`)).toMatchObject({ subject: 'ci' });
    clock.advance(1000);
    expect(await refusal(() => as(`Bearer ${token}`))).toMatchObject({ code: 'expired_token', status: 401 });
  });

  test('that was refused is looked at again', async () => {
    const { as, tokenFor, verify } = await stage();
    const token = await tokenFor('ci');
    await as(`Bearer ${token}`);
    const bad = `${token.slice(0, -10)}${'A'.repeat(10)}`;
    for (let i = 0; i < 2; i++) expect((await refusal(() => as(`Bearer ${bad}`))).code).toBe('invalid_token');
    expect(verify).toHaveBeenCalledTimes(3);
  });

  test('that differs in one character from a remembered one is not remembered', async () => {
    const { as, tokenFor } = await stage();
    const token = await tokenFor('ci');
    await as(`Bearer ${token}`);
    for (const at of [0, 10, token.length - 5]) {
      const other = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
      expect(await refusal(() => as(`Bearer ${other}`))).toMatchObject({ code: 'invalid_token' });
    }
  });

  test.each(['garbage', 'a.b.c', 'MZ_0123', '.'])('is what %j is not', async (text) => {
    const { as } = await stage();
    expect(await refusal(() => as(`Bearer ${text}`))).toMatchObject({ code: 'invalid_token' });
  });

  test('that is as long as a header may be is refused soon', async () => {
    const { as } = await stage();
    expect(await refusal(() => as(`Bearer ${'x'.repeat(16_000)}`))).toMatchObject({ code: 'invalid_token' });
    const startedAt = performance.now();
    await refusal(() => as(`Bearer ${' '.repeat(1_000_000)}\u0000`));
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe('a token that is revoked', () => {
  const revoked = (value: string, over: Partial<Revocation> = {}): Revocation => ({
    kind: 'sub',
    value,
    tenant: 'acme',
    scope: 'any',
    revokedAt: Date.UTC(2026, 0, 1),
    expiresAt: null,
    ...over,
  });

  test('stops at once, also on a connection that has sent it before', async () => {
    const { as, tokenFor, revocations } = await stage();
    const [mine, other] = [`Bearer ${await tokenFor('mine')}`, `Bearer ${await tokenFor('other')}`];
    for (let i = 0; i < 3; i++) await as(mine, mine);
    for (let i = 0; i < 3; i++) await as(other, other);
    const { jti = '' } = decodeJwt(mine.slice(7));
    revocations.add(revoked(jti, { kind: 'jti' }));
    for (let i = 0; i < 2; i++) {
      expect(await refusal(() => as(mine, mine))).toMatchObject({ code: 'revoked_token', status: 401 });
      expect(await as(other, other)).toMatchObject({ subject: 'other' });
    }
  });

  test('with its subject is every one that was issued until then, and none after', async () => {
    const { as, tokenFor, revocations, clock } = await stage();
    const before = [await tokenFor('mine'), await tokenFor('mine')];
    await as(`Bearer ${before[0]}`);
    revocations.add(revoked('mine', { revokedAt: clock.now() + 500 }));
    for (const token of before) expect((await refusal(() => as(`Bearer ${token}`))).code).toBe('revoked_token');
    clock.advance(1000);
    expect(await as(`Bearer ${await tokenFor('mine')}`)).toMatchObject({ subject: 'mine' });
  });

  test('in one tenant is not in another, unless it is in every one', async () => {
    const { as, tokenFor, revocations } = await stage();
    const token = `Bearer ${await tokenFor('mine', { tenant: 'umbrella' })}`;
    revocations.add(revoked('mine'));
    expect(await as(token)).toMatchObject({ tenant: 'umbrella' });
    revocations.add(revoked('mine', { tenant: null }));
    expect((await refusal(() => as(token))).code).toBe('revoked_token');
  });

  test('by another process stops within a second', async () => {
    const { as, tokenFor, folder, clock } = await stage();
    const token = `Bearer ${await tokenFor('mine')}`;
    for (let i = 0; i < 3; i++) await as(token);
    const elsewhere = await openStore(folder);
    elsewhere.revocations.add(revoked('mine'));
    await elsewhere.close();
    clock.advance(1000);
    expect((await refusal(() => as(token))).code).toBe('revoked_token');
  });

  test('is looked up once for each change, not for each request', async () => {
    const { as, tokenFor, revocations } = await stage();
    const isRevoked = vi.spyOn(revocations, 'isRevoked');
    const token = `Bearer ${await tokenFor('mine')}`;
    for (let i = 0; i < 10; i++) await as(token);
    expect(isRevoked).toHaveBeenCalledTimes(1);
    revocations.add(revoked('other'));
    for (let i = 0; i < 10; i++) await as(token);
    expect(isRevoked).toHaveBeenCalledTimes(2);
  });
});

describe('an API key', () => {
  test('is known at once, for what it was made for', async () => {
    const { as, keyOf } = await stage();
    const key = keyOf({ models: ['fast'], scope: 'any' });
    expect(as(`Bearer ${key}`)).toStrictEqual({
      subject: 'ci',
      tenant: 'acme',
      role: 'operator',
      agents: ['a'],
      models: ['fast'],
      scope: 'any',
      via: 'api-key',
      credential: key.slice(3, 19),
    });
  });

  test('expires', async () => {
    const { as, keyOf, clock } = await stage();
    const key = keyOf({ expiresAt: clock.now() + 1000 });
    expect(as(`Bearer ${key}`)).toMatchObject({ subject: 'ci' });
    clock.advance(1000);
    expect(await refusal(() => as(`Bearer ${key}`))).toMatchObject({ code: 'invalid_api_key', status: 401 });
  });

  test('that is revoked here stops at once', async () => {
    const { as, keyOf, apiKeys, clock } = await stage();
    const key = keyOf();
    expect(as(`Bearer ${key}`)).toMatchObject({ subject: 'ci' });
    apiKeys.revoke(key.slice(3, 19), clock.now());
    expect(await refusal(() => as(`Bearer ${key}`))).toMatchObject({ code: 'invalid_api_key' });
  });

  test('is noted when it is used, and only then', async () => {
    const { as, keyOf, apiKeys, clock } = await stage();
    const key = keyOf();
    await refusal(() => as(`Bearer ${key.slice(0, 20)}${'0'.repeat(48)}`));
    expect(apiKeys.lastUsed()).toStrictEqual(new Map());
    await as(`Bearer ${key}`);
    expect(apiKeys.lastUsed()).toStrictEqual(new Map([[key.slice(3, 19), clock.now()]]));
  });

  test('that was rotated is known by both secrets until the overlap ends', async () => {
    const { as, keyOf, apiKeys, clock } = await stage();
    const old = keyOf();
    const next = newApiKey(old.slice(3, 19));
    const at = clock.now();
    apiKeys.rotate(next.id, { hash: next.hash, at, previousUntil: at + 1000 });
    for (const key of [old, next.key.reveal()]) expect(as(`Bearer ${key}`)).toMatchObject({ subject: 'ci' });
    clock.advance(1000);
    expect(as(`Bearer ${next.key.reveal()}`)).toMatchObject({ subject: 'ci' });
    expect(await refusal(() => as(`Bearer ${old}`))).toMatchObject({ code: 'invalid_api_key' });
  });

  test.each(["' OR '1'='1", '%', '"; DROP TABLE api_keys; --', '\\u0000', '0123456789abcdef'])(
    'is not got by SQL, neither in its place nor in the words of its refusal: %j',
    async (injected) => {
      const { as, keyOf, apiKeys } = await stage();
      const key = keyOf();
      for (const given of [`mz_${injected}`, `mz_${injected}_${key.slice(20)}`, `${key}${injected}`]) {
        const error = await refusal(() => as(`Bearer ${given.replaceAll(' ', '')}`));
        expect(error).toMatchObject({
          code: 'invalid_api_key',
          message: 'The API key is unknown, revoked or expired.',
        });
      }
      expect(apiKeys.list('acme')).toHaveLength(1);
    },
  );

  test('of Mizan itself, or of every tenant by its name, is nobody’s', async () => {
    const { as, keyOf } = await stage();
    for (const tenant of ['system', '*']) {
      const key = keyOf({ tenant });
      expect(await refusal(() => as(`Bearer ${key}`))).toMatchObject({ code: 'invalid_api_key' });
    }
  });

  test('with another’s secret is refused in the same words as one nobody knows', async () => {
    const { as, keyOf } = await stage();
    const key = keyOf();
    const unknown = newApiKey().key.reveal();
    const errors = await Promise.all(
      [key.slice(0, 20) + unknown.slice(20), unknown, 'mz_', `${key}0`, key.toUpperCase().replace('MZ', 'mz')].map(
        (given) => refusal(() => as(`Bearer ${given}`)),
      ),
    );
    expect(new Set(errors.map(({ code, message }) => `${code} ${message}`)).size).toBe(1);
    expect(errors[0]).toMatchObject({ code: 'invalid_api_key', status: 401 });
  });

  test('is not shown by what refuses it', async () => {
    const { as } = await stage();
    const key = newApiKey().key.reveal();
    const error = await refusal(() => as(`Bearer ${key}`));
    expect(JSON.stringify(error.toPublic(null)) + String(error.stack)).not.toContain(key.slice(20));
  });
});
