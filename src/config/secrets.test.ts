import { describe, expect, test } from 'vitest';
import type { StoredSecrets, VaultConfig } from './load.ts';
import { problems, read } from './reading.suite.ts';
import { secretPlaces } from './secret-fields.ts';

const key = Buffer.alloc(32, 7).toString('base64');
const values = new Map([
  ['openrouter', 'sk-1234'],
  ['jwt', 'x'.repeat(32)],
]);
const stored = () => values;

describe('${secret:NAME}', () => {
  test('is the stored secret, wherever secrets are kept', () => {
    const text = `
auth: { jwt: { secret: "\${secret:jwt}" } }
providers:
  openrouter: { apiKey: "\${secret:openrouter}", headers: { x-extra: "Bearer \${secret:openrouter}" } }`;
    const { auth, providers } = read(text, {}, {}, stored);
    expect(auth.jwt.secret?.reveal()).toBe('x'.repeat(32));
    const provider = providers['openrouter'] as { apiKey: { reveal(): string }; headers: Record<string, string> };
    expect(provider.apiKey.reveal()).toBe('sk-1234');
    expect(provider.headers).toStrictEqual({ 'x-extra': 'Bearer sk-1234' });
  });

  test('may stand in every field that becomes a secret, and in headers', () => {
    const s3 = 'endpoint: "https://s3.example.com", bucket: ours, accessKeyId: id';
    const text = `backup: { s3: { ${s3}, secretAccessKey: "\${secret:openrouter}" } }`;
    expect(read(text, {}, {}, stored).backup.s3?.secretAccessKey.reveal()).toBe('sk-1234');
    expect(secretPlaces()).toStrictEqual([
      'auth.jwt.secret',
      'backup.s3.secretAccessKey',
      'providers.*.apiKey',
      'providers.*.headers.*',
      'redis.url',
      'schedule.webhooks.*.secret',
      'schedule.webhooks.*.url',
    ]);
    expect(problems('agents: { a: { model: default, system: "${secret:jwt}" } }', {}, {}, stored)).toStrictEqual([
      'mizan.yaml:1:40 agents.a.system: a stored secret may only stand where secrets do: ' +
        'in auth.jwt.secret, backup.s3.secretAccessKey, providers.*.apiKey, ' +
        'providers.*.headers.*, redis.url, schedule.webhooks.*.secret or schedule.webhooks.*.url',
    ]);
  });

  test('and what stands where it may is not repeated where it is wrong', () => {
    const s3 = 'endpoint: "https://s3.example.com", bucket: ours, accessKeyId: id';
    expect(problems(`backup: { s3: { ${s3}, secretAccessKey: 12345678 } }`).join()).not.toContain('12345678');
  });

  test('that is not stored is a problem with its place and the nearest name', () => {
    expect(problems('providers:\n  openrouter: { apiKey: "${secret:openruoter}" }', {}, {}, stored)).toStrictEqual([
      'mizan.yaml:2:25 providers.openrouter.apiKey: there is no stored secret "openruoter"; ' +
        '"mizan secrets set openruoter" stores one; did you mean "openrouter"?',
    ]);
  });

  test.each([
    'agents: { a: { model: default, system: "${secret:openrouter}" } }',
    'providers: { openrouter: { apiKey: x, baseUrl: "https://${secret:openrouter}.example" } }',
    'agents: { a: { model: default, params: { user: "${secret:openrouter}" } } }',
    'security: { masterKey: { key: "${secret:openrouter}" } }',
    'database: { url: "postgres://u:${secret:openrouter}@h/db" }',
  ])('may not stand where nothing is kept secret: %s', (text) => {
    const found = problems(text, {}, {}, stored);
    expect(found.filter((line) => line.includes('may only stand where secrets do'))).toHaveLength(1);
    expect(found.join()).not.toContain('sk-1234');
  });

  test('is asked for with the master key that the file or the environment names, and only where it is named', () => {
    const asked: VaultConfig[] = [];
    const asking: StoredSecrets = (vault) => {
      asked.push(vault);
      return values;
    };
    read('providers: { sim: { kind: simulator } }', { MIZAN_MASTER_KEY: key }, {}, asking);
    expect(asked).toHaveLength(0);
    const text = 'providers: { openrouter: { apiKey: "${secret:openrouter}" } }';
    read(text, { MIZAN_MASTER_KEY: key }, {}, asking);
    read(`security: { masterKey: { command: ["\${PROGRAM}", key] } }\n${text}`, { PROGRAM: 'kms' }, {}, asking);
    read(`database: { url: "\${URL}" }\n${text}`, { URL: 'postgres://h/db', MIZAN_MASTER_KEY: key }, {}, asking);
    expect(asked.map(({ masterKey }) => masterKey.key?.reveal() ?? masterKey.command)).toStrictEqual([
      key,
      ['kms', 'key'],
      key,
    ]);
    expect(asked.map(({ databaseUrl }) => databaseUrl?.reveal() ?? null)).toStrictEqual([
      null,
      null,
      'postgres://h/db',
    ]);
  });

  test('is not said to be missing where it is the master key that is wrong', () => {
    const text = 'providers: { openrouter: { apiKey: "${secret:openrouter}" } }';
    expect(problems(text, { MIZAN_MASTER_KEY: 'short' }, {}, stored)).toStrictEqual([
      'environment MIZAN_MASTER_KEY: expected at least 32 bytes, found a text',
    ]);
  });

  test('leaves a variable by the name of secret what it was', () => {
    const env = { secret: 'y'.repeat(32) };
    expect(read('auth: { jwt: { secret: "${secret:-x}" } }', env).auth.jwt.secret?.reveal()).toBe('y'.repeat(32));
  });
});
