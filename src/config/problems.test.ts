import { describe, expect, test } from 'vitest';
import { problems, sim } from './reading.suite.ts';

describe('every problem says where it is, what was expected and what was found', () => {
  const cases: [promise: string, text: string, lines: string[]][] = [
    [
      'an unknown key, with the nearest known one',
      'models:\n  fast:\n    stratgy: round-robin\n',
      ['mizan.yaml:3:5 models.fast.stratgy: unknown key; did you mean "strategy"?'],
    ],
    [
      'an unknown section, with those there are',
      'qqqqqqqq: 1',
      [
        'mizan.yaml:1:1 qqqqqqqq: unknown key; known: server, database, redis, auth, security, egress, ' +
          'providers, models, agents, defaultAgent, limits, budgets, limiting, payloads, retention, cache, backup, ' +
          'schedule',
      ],
    ],
    [
      'a provider at an address that no connection is made to',
      [
        'providers:',
        '  a: { kind: ollama, baseUrl: "http://169.254.169.254/v1" }',
        '  b: { kind: ollama, baseUrl: "http://0.0.0.0:11434/v1" }',
        '  c: { kind: ollama, baseUrl: "http://2130706433:11434/v1" }',
        '  d: { kind: ollama, baseUrl: "http://10.0.0.1:11434/v1" }',
        '  e: { kind: ollama, baseUrl: "http://198.18.0.1/v1" }',
        'egress: { allow: [198.18.0.0/15, "10.0.0.0/33"] }',
      ].join('\n'),
      [
        "mizan.yaml:2:31 providers.a.baseUrl: 169.254.169.254 is a cloud's metadata address; if it is meant, list it in " +
          'egress.allow',
        'mizan.yaml:3:31 providers.b.baseUrl: 0.0.0.0 is a special-purpose address; if it is meant, list it in ' +
          'egress.allow',
        'mizan.yaml:4:31 providers.c.baseUrl: an address in an odd notation: write 127.0.0.1',
        'mizan.yaml:7:34 egress.allow[1]: expected an address, a range such as 10.0.0.0/8, a host, or *.example.com, ' +
          'found "10.0.0.0/33"',
      ],
    ],
    [
      'a wrong type',
      'server:\n  port: abc\n',
      ['mizan.yaml:2:9 server.port: expected a whole number from 0 to 65535, found "abc"'],
    ],
    [
      'a number out of range',
      'server: { port: 65536 }',
      ['mizan.yaml:1:17 server.port: expected a whole number from 0 to 65535, found 65536'],
    ],
    ['a list where a mapping belongs', 'server: []', ['mizan.yaml:1:9 server: expected a mapping, found a list']],
    [
      'what is kept of what was said',
      [
        'payloads: { mode: some, rate: 2, maxBytes: 2MiB }',
        'agents: { a: { model: default, payloads: { mode: error, rat: 1 } } }',
      ].join('\n'),
      [
        'mizan.yaml:1:19 payloads.mode: expected a mode, found "some"; known: off, errors, sampled, all',
        'mizan.yaml:1:31 payloads.rate: expected a number from 0 to 1, found 2',
        'mizan.yaml:1:44 payloads.maxBytes: expected a size such as "10MiB", from 256B to 1MiB, found "2MiB"',
        'mizan.yaml:2:50 agents.a.payloads.mode: expected a mode, found "error"; did you mean "errors"?',
        'mizan.yaml:2:57 agents.a.payloads.rat: unknown key; did you mean "rate"?',
      ],
    ],
    [
      'more than one worker',
      'server: { workers: 2 }',
      ['mizan.yaml:1:20 server.workers: more than one worker is not supported by this version'],
    ],
    [
      'the same port twice',
      'server: { port: 9000 }',
      ['mizan.yaml:1:17 server.port: expected another port than server.metricsPort, found 9000'],
    ],
    [
      'a size without a unit that is known',
      'server: { bodyLimit: 10XB }',
      ['mizan.yaml:1:22 server.bodyLimit: expected a size such as "10MiB", from 1B to 1GiB, found "10XB"'],
    ],
    [
      'a database URL that is not of PostgreSQL, without repeating it',
      'database: { url: "mysql://user:hunter2@host/db" }',
      [
        'mizan.yaml:1:18 database.url: expected a postgres:// URL, or nothing for SQLite in the data folder, ' +
          'found a text',
      ],
    ],
    [
      'a driver of jobs that needs Redis, where there is none',
      'schedule: { driver: bullmq }',
      [
        'mizan.yaml:1:21 schedule.driver: bullmq needs Redis; expected redis.url (or REDIS_URL) beside it, or auto, or local',
      ],
    ],
    [
      'a Redis URL that is none',
      'redis: { url: "http://user:hunter2@host" }',
      ['mizan.yaml:1:15 redis.url: expected a redis:// or rediss:// URL, or nothing, found a text'],
    ],
    [
      'a short JWT secret, without repeating it',
      'auth: { jwt: { secret: hunter2 } }',
      ['mizan.yaml:1:24 auth.jwt.secret: expected at least 32 bytes, found a text'],
    ],
    [
      'a provider of a kind that is not there',
      'providers: { mine: { kind: openaii, apiKey: k } }',
      ['mizan.yaml:1:28 providers.mine.kind: expected a kind of provider, found "openaii"; did you mean "openai"?'],
    ],
    [
      'a provider without a kind whose name is almost one',
      'providers:\n  opnrouter: { apiKey: k }\n',
      ['mizan.yaml:2:3 providers.opnrouter.kind: missing; expected a kind of provider; did you mean "openrouter"?'],
    ],
    [
      'a provider that needs a key and has none',
      'providers:\n  openai:\n  groq: { apiKey: "" }\n',
      [
        'mizan.yaml:2:3 providers.openai.apiKey: missing; openai needs a key: apiKey: "${OPENAI_API_KEY}"',
        'mizan.yaml:3:19 providers.groq.apiKey: missing; groq needs a key: apiKey: "${GROQ_API_KEY}"',
      ],
    ],
    [
      'a key with a line break at its end',
      'providers: { openai: { apiKey: "sk-1\\n" } }',
      [
        'mizan.yaml:1:32 providers.openai.apiKey: expected a key: printable ASCII, without spaces or line breaks, ' +
          'found a text',
      ],
    ],
    [
      'a provider that needs a URL and has none',
      'providers: { mine: { kind: openai-compatible } }',
      [
        "mizan.yaml:1:14 providers.mine.baseUrl: missing; openai-compatible needs the service's URL: " +
          'baseUrl: http://127.0.0.1:8080/v1',
      ],
    ],
    [
      'a URL with credentials, a query or another scheme',
      [
        'providers:',
        '  a: { kind: ollama, baseUrl: "http://u:hunter2@host/v1" }',
        '  b: { kind: ollama, baseUrl: "http://host/v1?key=hunter2" }',
        '  c: { kind: ollama, baseUrl: "ftp://host/v1" }',
      ].join('\n'),
      [
        'mizan.yaml:2:31 providers.a.baseUrl: a URL with credentials in it; they belong in apiKey or headers',
        'mizan.yaml:3:31 providers.b.baseUrl: expected a URL without a query or fragment, found a text',
        'mizan.yaml:4:31 providers.c.baseUrl: expected an http or https URL, found a text',
      ],
    ],
    [
      'headers that HTTP does not have',
      'providers: { ollama: { headers: { "a b": x, c: "d\\n", X-A: a, x-a: b, Connection: close } } }',
      [
        'mizan.yaml:1:35 providers.ollama.headers["a b"]: expected the name of an HTTP header, found "a b"',
        'mizan.yaml:1:48 providers.ollama.headers.c: expected the value of an HTTP header, in printable ASCII, ' +
          'found a text',
        'mizan.yaml:1:63 providers.ollama.headers.x-a: this header stands here again',
        'mizan.yaml:1:71 providers.ollama.headers.Connection: expected a header that is free to be set, found "Connection"',
      ],
    ],
    [
      'half a price',
      'providers: { ollama: { prices: { "a/b:c": { input: -1 } } } }',
      [
        'mizan.yaml:1:34 providers.ollama.prices["a/b:c"].output: missing; ' +
          'expected a price in US dollars per million tokens',
        'mizan.yaml:1:52 providers.ollama.prices["a/b:c"].input: expected a price of at least 0, found -1',
      ],
    ],
    [
      'a provider whose name means something else in a request',
      'providers: { agent: { kind: simulator } }',
      ['mizan.yaml:1:14 providers.agent: this name is taken: as a model, "agent/NAME" means an agent'],
    ],
    [
      "the simulator's options, its faults included",
      'providers: { sim: { kind: simulator, latencyMs: -1, faults: [{ kind: reset, rat: 1 }, { kind: reste }] } }',
      [
        'mizan.yaml:1:49 providers.sim.latencyMs: expected a number of milliseconds from 0 to 86400000, found -1',
        'mizan.yaml:1:77 providers.sim.faults[0].rat: unknown key; did you mean "rate"?',
        'mizan.yaml:1:95 providers.sim.faults[1].kind: expected one of status, refuse, reset, slow-headers, stall, ' +
          'cut, garbage, error-event, no-terminator, found "reste"; did you mean "reset"?',
      ],
    ],
    [
      'a strategy that is not there',
      'models: { fast: { strategy: round-robbin } }',
      [
        'mizan.yaml:1:29 models.fast.strategy: expected one of "round-robin", "random", "least-busy", ' +
          '"latency", "cost", "priority", "sticky", "quota", found "round-robbin"; ' +
          'did you mean "round-robin"?',
      ],
    ],
    [
      'an instance of a provider that is not there',
      `${sim}\nmodels:\n  fast:\n    instances:\n      - { id: a, provider: sin, model: x }\n`,
      [
        'mizan.yaml:5:28 models.fast.instances[0].provider: expected the name of a provider, found "sin"; ' +
          'did you mean "sim"?',
      ],
    ],
    [
      'two instances of one id',
      `${sim}\nmodels:\n  fast:\n    instances:\n      - { id: a, provider: sim, model: x }\n` +
        '      - { id: a, provider: sim, model: y }\n',
      [
        'mizan.yaml:6:15 models.fast.instances[1].id: expected an id that no other instance of the model has, ' +
          'found "a"',
      ],
    ],
    [
      'what an instance lacks, and a weight that is no whole number',
      `${sim}\nmodels:\n  fast:\n    instances:\n      - { id: a, weight: 1.5 }\n`,
      [
        'mizan.yaml:5:9 models.fast.instances[0].provider: missing; expected the name of a provider',
        'mizan.yaml:5:9 models.fast.instances[0].model: missing; expected the name of a model of the provider',
        'mizan.yaml:5:26 models.fast.instances[0].weight: expected a whole number from 1 to 1000, found 1.5',
      ],
    ],
    [
      'names that could not stand in a URL or a label',
      'models: { "a b": {}, -x: {} }\nagents: { "a/b": { model: wise } }',
      [
        'mizan.yaml:1:11 models["a b"]: expected a name of 1 to 64 letters, digits, ".", "_" or "-" that begins ' +
          'with a letter or digit, found "a b"',
        'mizan.yaml:1:22 models.-x: expected a name of 1 to 64 letters, digits, ".", "_" or "-" that begins ' +
          'with a letter or digit, found "-x"',
        'mizan.yaml:2:11 agents["a/b"]: expected a name of 1 to 64 letters, digits, ".", "_" or "-" that begins ' +
          'with a letter or digit, found "a/b"',
        'mizan.yaml:2:27 agents["a/b"].model: expected a model id, or "provider/upstream-model", found "wise"; ' +
          'known: a b, -x',
      ],
    ],
    [
      'agents whose model is not there',
      `${sim}\nmodels: { fast: {} }\nagents:\n  a: { model: fats }\n  b: { model: sin/x }\n  c: { model: sim/ }\n  d: {}\n`,
      [
        'mizan.yaml:4:15 agents.a.model: expected a model id, or "provider/upstream-model", found "fats"; ' +
          'did you mean "fast"?',
        'mizan.yaml:5:15 agents.b.model: expected the name of a provider before the slash, found "sin/x"; ' +
          'did you mean "sim"?',
        'mizan.yaml:6:15 agents.c.model: expected the name of a model after the slash, found "sim/"',
        'mizan.yaml:7:3 agents.d.model: missing; expected a model id, or "provider/upstream-model"',
      ],
    ],
    [
      'parameters that are not an agent’s to set',
      'agents: { a: { model: default, params: { model: x, messages: [], stream: true, temperature: .nan } } }',
      [
        'mizan.yaml:1:49 agents.a.params.model: an agent may not set this parameter',
        'mizan.yaml:1:62 agents.a.params.messages: an agent may not set this parameter',
        'mizan.yaml:1:74 agents.a.params.stream: an agent may not set this parameter',
        'mizan.yaml:1:93 agents.a.params.temperature: expected a finite number',
      ],
    ],
    [
      'a default agent that is not there',
      'agents: { helper: { model: default } }\ndefaultAgent: halper',
      ['mizan.yaml:2:15 defaultAgent: expected the name of an agent, found "halper"; did you mean "helper"?'],
    ],
    [
      'a time zone that is not there',
      'schedule: { timezone: Asia/Riyad }',
      [
        'mizan.yaml:1:23 schedule.timezone: expected a time zone such as "Asia/Riyadh", found "Asia/Riyad"; ' +
          'did you mean "Asia/Riyadh"?',
      ],
    ],
    [
      'crons that are none, or never fire',
      'schedule:\n  jobs:\n    backup: { cron: "0 0 30 2 *" }\n    retention: { cron: "* * * *" }\n    model-health: { cron: "60 * * * *" }\n',
      [
        'mizan.yaml:3:21 schedule.jobs.backup.cron: expected a cron that fires; this one never does; "0 0 L 2 *" does, on the month’s last day, ' +
          'found "0 0 30 2 *"',
        'mizan.yaml:4:24 schedule.jobs.retention.cron: expected five fields: minute, hour, day of the month, month, ' +
          'day of the week; or six, with seconds before them, found "* * * *"',
        'mizan.yaml:5:27 schedule.jobs.model-health.cron: expected a cron of five or six fields: ' +
          'Invalid value for minute: 60, found "60 * * * *"',
      ],
    ],
    [
      'jobs that can’t be run as they are asked for',
      [
        'schedule:',
        '  jobs:',
        '    nightly: { cron: "0 1 * * *" }',
        '    backup: { every: 500ms }',
        '    retention: { every: 1h, cron: "0 * * * *" }',
        '    report: { type: agent, agent: asistant, input: hi, every: 1d, keep: 3, webhook: team }',
        '    rotation: { type: key-rotation }',
        '    once: { type: cache-cleanup, at: tomorrow, timezone: Mars/Olympus }',
        '  webhooks: { chat: { url: "http://10.0.0.1/hook", secret: short } }',
        '  notify: { webhooks: [chta] }',
        'agents: { assistant: { model: default } }',
      ].join('\n'),
      [
        'mizan.yaml:3:5 schedule.jobs.nightly: expected a name that is a type, or a type below it, found "nightly"; ' +
          'known: cache-cleanup, backup, model-health, retention, key-rotation, agent',
        'mizan.yaml:4:22 schedule.jobs.backup.every: expected an interval from a second to 366 days, such as "90s", "15m" ' +
          'or "6h", found "500ms"',
        'mizan.yaml:5:18 schedule.jobs.retention.every: expected one of cron, every and at, and there is cron ' +
          'already, found "every"',
        'mizan.yaml:6:35 schedule.jobs.report.agent: expected the name of an agent, found "asistant"; ' +
          'did you mean "assistant"?',
        'mizan.yaml:6:67 schedule.jobs.report.keep: this key is for jobs of the type backup, not agent',
        'mizan.yaml:6:85 schedule.jobs.report.webhook: expected the name of a webhook, found a text; known: chat',
        'mizan.yaml:7:5 schedule.jobs.rotation.cron: missing; expected when it runs: cron, every or at',
        'mizan.yaml:8:38 schedule.jobs.once.at: expected a time such as "2026-12-24T18:00", or with an offset ' +
          '"2026-12-24T18:00:00+03:00", found "tomorrow"',
        'mizan.yaml:8:58 schedule.jobs.once.timezone: expected a time zone such as "Asia/Riyadh", ' +
          'found "Mars/Olympus"',
        'mizan.yaml:9:28 schedule.webhooks.chat.url: 10.0.0.1 is a private address; if it is meant, list it in ' +
          'egress.allow',
        'mizan.yaml:9:60 schedule.webhooks.chat.secret: expected at least 16 bytes, found a text',
        'mizan.yaml:10:24 schedule.notify.webhooks[0]: expected the name of a webhook, found "chta"; ' +
          'did you mean "chat"?',
      ],
    ],
    [
      'a key that stands twice, and everything else beside it',
      'server: { port: 1, port: 2 }\ncache: { ttl: -1 }\n',
      [
        'mizan.yaml:1:20 server.port: the key stands here again, after line 1',
        'mizan.yaml:2:15 cache.ttl: expected a whole number of seconds from 0 to 31536000, found -1',
      ],
    ],
    [
      'a key that programs trip over',
      'agents:\n  a: { model: default, params: { x: { __proto__: 1 } } }\n',
      ['mizan.yaml:2:39 agents.a.params.x.__proto__: this key is not allowed'],
    ],
    [
      'a text in place of a configuration',
      'hello',
      ['mizan.yaml:1:1: expected a mapping of sections (server:, providers:, …), found a text'],
    ],
  ];

  test.each(cases)('%s', (_, text, lines) => {
    expect(problems(text)).toEqual(lines);
  });

  test('a value from outside is named by where it came from', () => {
    const env = { MIZAN_JWT_SECRET: 'hunter2', DATABASE_URL: 'mysql://h/d', REDIS_URL: 'x', LOG_LEVEL: 'loud' };
    expect(problems('', env, { port: 'abc' })).toEqual([
      'command line --port: expected a whole number from 0 to 65535, found "abc"',
      'environment DATABASE_URL: expected a postgres:// URL, or nothing for SQLite in the data folder, found a text',
      'environment REDIS_URL: expected a redis:// or rediss:// URL, or nothing, found a text',
      'environment MIZAN_JWT_SECRET: expected at least 32 bytes, found a text',
      'environment LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, found "loud"',
    ]);
  });

  test('a file of nonsense is told in a hundred lines and one', () => {
    const lines = problems(Array.from({ length: 250 }, (__, i) => `k${i}: 1`).join('\n'));
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe('mizan.yaml:100:1: and 150 more problems from here on');
  });
});
