import { expect, test } from 'vitest';
import type { Config } from './config.ts';
import { readConfig } from './load.ts';

const withKey = { OPENROUTER_API_KEY: 'sk-or-1' };

function read(text: string, env: Record<string, string> = {}): Config {
  return readConfig({ name: 'mizan.yaml', text }, env);
}

/** What can be called, and where it leads. */
function outline({ providers, models, agents, defaultAgent }: Config): unknown {
  return {
    providers: Object.entries(providers).map(([name, { kind }]) => `${name}: ${kind}`),
    models: Object.entries(models).map(
      ([id, { instances }]) =>
        `${id}: ${instances.map((each) => `${each.id}=${each.provider}/${each.model}`).join(' ')}`,
    ),
    agents: Object.entries(agents).map(([name, { model }]) => `${name}: ${model}`),
    defaultAgent,
  };
}

const assistant = { agents: ['assistant: default'], defaultAgent: 'assistant' };
const simulated = {
  providers: ['simulator: simulator'],
  models: ['default: simulator=simulator/simulator'],
  ...assistant,
};
const routed = {
  providers: ['openrouter: openrouter'],
  models: ['default: openrouter=openrouter/openrouter/auto'],
  ...assistant,
};

test('with nothing at all, the assistant is answered by the simulator', () => {
  expect(outline(readConfig(null, {}))).toEqual(simulated);
  expect(outline(readConfig(null, { OPENROUTER_API_KEY: '' }))).toEqual(simulated);
});

test('with a key for OpenRouter, it is answered from there, with that key', () => {
  const config = readConfig(null, withKey);
  expect(outline(config)).toEqual(routed);
  expect(config.providers['openrouter']).toMatchObject({ baseUrl: 'https://openrouter.ai/api/v1' });
  const { apiKey } = config.providers['openrouter'] as { apiKey: { reveal(): string } };
  expect(apiKey.reveal()).toBe('sk-or-1');
  expect(JSON.stringify(config)).not.toContain('sk-or-1');
});

test('sections that are empty, or have nothing below their name, are as good as left out', () => {
  expect(outline(read('providers: {}\nmodels:\nagents: {}\nserver:\n', withKey))).toEqual(routed);
});

test('a provider’s name is its kind where that is one, and nothing needs to stand below it', () => {
  expect(outline(read('providers:\n  simulator:\n'))).toEqual(simulated);
  expect(outline(read('providers: { openrouter: {} }', withKey))).toEqual(routed);
});

test('the default model is at the first provider whose models are known', () => {
  expect(outline(read('providers: { ollama: {}, sim: { kind: simulator } }'))).toMatchObject({
    models: ['default: sim=sim/simulator'],
    ...assistant,
  });
});

test('where no models are known, none is made up: they are called as provider/upstream-model', () => {
  expect(outline(read('providers: { ollama: {} }'))).toEqual({
    providers: ['ollama: ollama'],
    models: [],
    agents: [],
    defaultAgent: null,
  });
  expect(outline(read('providers: { ollama: {} }\nagents: { a: { model: ollama/llama3.2 } }'))).toMatchObject({
    agents: ['a: ollama/llama3.2'],
    defaultAgent: 'a',
  });
});

test('models without agents get an assistant, on the model "default" or else the first one', () => {
  expect(outline(read('models: { fast: {}, slow: {} }'))).toMatchObject({ agents: ['assistant: fast'] });
  expect(outline(read('models: { fast: {}, default: {} }'))).toMatchObject({ agents: ['assistant: default'] });
});

test('agents without models run on the default model', () => {
  expect(outline(read('agents: { helper: { model: default } }'))).toMatchObject({
    models: ['default: simulator=simulator/simulator'],
    agents: ['helper: default'],
  });
});

test('the default agent is the one that is named, else the assistant, else the first one', () => {
  const agents = (names: string[]): string =>
    `agents: { ${names.map((name) => `${name}: { model: default }`).join()} }\n`;
  expect(read(`${agents(['a', 'assistant', 'b'])}defaultAgent: b`).defaultAgent).toBe('b');
  expect(read(agents(['a', 'assistant', 'b'])).defaultAgent).toBe('assistant');
  expect(read(agents(['a', 'b'])).defaultAgent).toBe('a');
});

test('a key in the file is used before the one in the environment', () => {
  const config = read('providers: { openrouter: { apiKey: sk-file }, second: { kind: openrouter } }', withKey);
  const keys = Object.values(config.providers).map((each) =>
    each.kind === 'simulator' ? null : each.apiKey?.reveal(),
  );
  expect(keys).toEqual(['sk-file', 'sk-or-1']);
});

test('everything else has the defaults of the documentation', () => {
  const { server, auth, cache, schedule, models, database, redis, log } = readConfig(null, {});
  expect(server).toEqual({
    host: '127.0.0.1',
    port: 8000,
    metricsPort: 9000,
    workers: 1,
    bodyLimit: 10_485_760,
    headersTimeoutMs: 10_000,
    shutdownTimeoutMs: 30_000,
  });
  expect(auth).toEqual({
    jwt: { secret: null, issuer: 'mizan', audience: 'mizan', generated: 'loopback' },
    issuers: [],
  });
  expect(cache).toEqual({
    when: 'deterministic',
    private: false,
    ttl: 3600,
    toolCalls: false,
    staleWhileRevalidate: 0,
    staleIfError: 0,
    paceMs: 0,
    maxBytes: 67_108_864,
    maxBytesPerTenant: null,
  });
  expect(schedule).toMatchObject({ timezone: 'UTC', driver: 'local', webhooks: {}, historyDays: 90 });
  expect(schedule.jobs.map(({ name, schedule: when }) => [name, when])).toEqual([
    ['cache-cleanup', { kind: 'cron', cron: '0 * * * *', timezone: 'UTC' }],
    ['backup', { kind: 'cron', cron: '0 3 * * 0', timezone: 'UTC' }],
    ['model-health', { kind: 'cron', cron: '* * * * *', timezone: 'UTC' }],
    ['retention', { kind: 'cron', cron: '30 * * * *', timezone: 'UTC' }],
  ]);
  expect(models['default']?.timeouts).toEqual({
    connectMs: 5000,
    firstByteMs: 120_000,
    firstTokenMs: 120_000,
    idleMs: 60_000,
    totalMs: 600_000,
  });
  expect([database.url, redis.url, log.level]).toEqual([null, null, 'info']);
});
