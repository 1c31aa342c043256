import { describe, expect, test } from 'vitest';
import { problems, read, sim } from './reading.suite.ts';

describe('variables', () => {
  test('stand wherever a text can, and alone also for numbers and booleans', () => {
    const config = read(
      `server: { port: "\${PORT}", host: "\${HOST:-0.0.0.0}" }\n${sim}\n` +
        'agents: { a: { model: default, system: "${GREETING}, you" } }\n' +
        'schedule: { jobs: { backup: { cron: "0 0 * * *", enabled: "${ON}" } } }',
      { PORT: '8123', GREETING: '8123', ON: 'false' },
    );
    expect(config.server).toMatchObject({ port: 8123, host: '0.0.0.0' });
    expect(config.agents['a']?.system).toBe('8123, you');
    expect(config.schedule.jobs.map(({ name }) => name)).not.toContain('backup');
  });

  test('a text that looks like a number stays a text where a text is expected', () => {
    expect(read('agents: { a: { model: default, system: "${N}" } }', { N: '5' }).agents['a']?.system).toBe('5');
  });

  test('in parameters, quotes decide whether it is a text', () => {
    const text = 'agents:\n  a:\n    model: default\n    params:\n      temperature: ${T}\n      user: "${T}"\n';
    expect(read(text, { T: '0.5' }).agents['a']?.params).toEqual({ temperature: 0.5, user: '0.5' });
  });

  test('cannot add to the YAML around them', () => {
    const value = 'x }\nserver: { port: 1 }\n# "\'';
    const config = read('agents: { a: { model: default, system: "${V}" } }', { V: value });
    expect(config.agents['a']?.system).toBe(value);
    expect(config.server.port).toBe(8000);
  });

  test('one that is not set is named, and nothing else is said of its value', () => {
    expect(
      problems('server: { port: "${PORT}" }\nproviders: { openrouter: { apiKey: "${OPENROUTER_API_KEY}" } }'),
    ).toEqual([
      'mizan.yaml:1:17 server.port: the variable PORT is not set; set it, or write ${PORT:-default}',
      'mizan.yaml:2:36 providers.openrouter.apiKey: the variable OPENROUTER_API_KEY is not set; ' +
        'set it, or write ${OPENROUTER_API_KEY:-default}',
    ]);
  });

  test('the value of one is not shown', () => {
    expect(problems('server: { port: "${PORT}", host: "${EMPTY}" }', { PORT: 'hunter2', EMPTY: '' })).toEqual([
      'mizan.yaml:1:17 server.port: expected a whole number from 0 to 65535, found a text from ${PORT}',
      'mizan.yaml:1:34 server.host: expected an address to listen on, found nothing in ${EMPTY}',
    ]);
  });
});

describe('a configuration that is read', () => {
  test('the command line wins over the file, and the file over the environment', () => {
    const secret = 'f'.repeat(32);
    const text = `server: { port: 1, host: 10.0.0.1 }\nauth: { jwt: { secret: ${secret} } }`;
    const config = read(text, { MIZAN_JWT_SECRET: 'e'.repeat(32) }, { port: '2', metricsPort: 3 });
    expect(config.server).toMatchObject({ host: '10.0.0.1', port: 2, metricsPort: 3 });
    expect(config.auth.jwt.secret?.reveal()).toBe(secret);
  });

  test('any free port may be asked for twice', () => {
    expect(read('server: { port: 0, metricsPort: 0 }').server).toMatchObject({ port: 0, metricsPort: 0 });
  });

  test('the environment fills in what the file leaves out; empty variables are none', () => {
    const env = { MIZAN_JWT_SECRET: 'e'.repeat(32), REDIS_URL: 'redis://h:6379', DATABASE_URL: '', LOG_LEVEL: 'WARN' };
    const config = read('auth: {}', env);
    expect(config.auth.jwt.secret?.reveal()).toBe('e'.repeat(32));
    expect(config.redis.url?.reveal()).toBe('redis://h:6379');
    expect(config.database.url).toBeNull();
    expect(config.log.level).toBe('warn');
    expect(config.notes).toEqual([]);
  });

  test('notes a variable that says where data is, and that the file overrules', () => {
    const env = { DATABASE_URL: 'postgres://new/db', REDIS_URL: 'redis://h:6379' };
    const text = 'database: { url: "postgres://old/db" }\nredis: { url: "${REDIS_URL:-}" }';
    const config = read(text, env);
    expect(config.database.url?.reveal()).toBe('postgres://old/db');
    expect(config.notes).toEqual([
      expect.stringMatching(/^DATABASE_URL is set, and database\.url says something else/),
    ]);
    expect(read('database: { url: "${DATABASE_URL:-}" }', env).notes).toEqual([]);
  });

  test('notes what is allowed and leads nowhere', () => {
    const text = `${sim}\nmodels: { a: { fallbacks: [b] }, c: { fallbacks: [] } }`;
    expect(read(text).notes).toHaveLength(1);
    expect(read('').notes).toEqual([]);
  });

  test('look-ups by a name that nobody configured find nothing, whatever the name', () => {
    const config = read('');
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect([config.agents[name], config.models[name], config.providers[name]]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    }
  });

  test('sizes become bytes, header names lower case, and URLs lose the slash at their end', () => {
    const text =
      'server: { bodyLimit: 64KiB }\ncache: { maxBytes: 5MB }\n' +
      'providers: { ollama: { baseUrl: "http://host/v1/", headers: { X-Team: core } } }';
    const config = read(text);
    expect([config.server.bodyLimit, config.cache.maxBytes]).toEqual([65_536, 5_000_000]);
    expect(config.providers['ollama']).toMatchObject({ baseUrl: 'http://host/v1', headers: { 'x-team': 'core' } });
  });

  test('aliases repeat what their anchor says', () => {
    const text = `${sim}\nmodels:\n  a: &m { instances: [{ id: x, provider: sim, model: y, weight: 3 }] }\n  b: *m\n`;
    const { models } = read(text);
    expect(models['b']).toEqual(models['a']);
    expect(models['b']?.instances[0]?.weight).toBe(3);
  });
});
