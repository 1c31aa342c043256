import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.ts';
import { Secret } from '../../src/core/secret.ts';
import { Authenticator } from '../../src/edge/auth/authenticator.ts';
import { authorise } from '../../src/edge/auth/authorise.ts';
import { newApiKey } from '../../src/security/api-keys.ts';
import { Tokens } from '../../src/security/tokens.ts';
import { openStore } from '../../src/store/sqlite/index.ts';
import { apiKeyRecord } from '../../test/support/api-key.ts';
import type { Micro } from './harness.ts';

const folder = mkdtempSync(join(tmpdir(), 'mizan-micro-'));
const store = await openStore(folder);
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const tokens = new Tokens({ secret: new Secret('s'.repeat(32)), issuer: 'mizan', audience: 'mizan' });
const authenticator = new Authenticator(tokens, store.apiKeys, store.revocations, systemClock);

const grant = { subject: 'bench', tenant: 'acme', role: 'member', agents: null, ttl: 3600 } as const;
const token = `Bearer ${await tokens.sign(grant, Date.now())}`;
const principal = await authenticator.authenticate(token, {});

const { id, hash, key } = newApiKey();
store.apiKeys.insert(apiKeyRecord({ id, hash }));
const apiKey = `Bearer ${key.reveal()}`;

const connection = {};
const access = { role: 'member', tenant: 'own' } as const;
const query = {};

/** Who is asking and whether they may: a verified request may cost 5,000 ns more than it did without all this. */
export const identity: readonly Micro[] = [
  { name: 'authenticate, a token, on its connection', run: () => authenticator.authenticate(token, connection) },
  { name: 'authenticate, a token, on a new connection', run: () => authenticator.authenticate(token, {}) },
  { name: 'authenticate, an API key', run: () => authenticator.authenticate(apiKey, connection) },
  { name: 'authorise', run: () => authorise(access, principal, query) },
  { name: 'the epoch of revocations', run: () => store.revocations.epoch },
];
