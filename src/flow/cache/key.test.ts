import { describe, expect, test } from 'vitest';
import { principal } from '../../../test/support/calls.ts';
import { usualPolicy } from '../../../test/support/cache.ts';
import { JsonDocument } from '../../core/json-document.ts';
import type { Principal } from '../../core/principal.ts';
import type { Random } from '../../core/random.ts';
import { seededRandom } from '../../core/random.ts';
import { cacheKeyOf, Spellings } from './key.ts';
import type { CacheRule } from './policy.ts';
import { CacheRules, versionOf } from './policy.ts';

const rule: CacheRule = { policy: usualPolicy, origin: 'o', params: {} };

interface Asking {
  readonly by?: Principal;
  readonly agent?: string | null;
  readonly model?: string;
  readonly rule?: CacheRule;
}

function keyOf(
  written: string,
  { by = principal, agent = null, model = 'fast', rule: held = rule }: Asking = {},
): string {
  const body = JsonDocument.parse(Buffer.from(written));
  const chat = { body, edits: [], stream: false, wantsUsage: false };
  return cacheKeyOf(by, { agent, model, chat }, held).hash;
}

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Every parameter of OpenAI's dialect that can change what is answered, and one that is yet to be invented. */
const fields: Readonly<Record<string, (random: Random) => Json>> = {
  temperature: (random) => Math.floor(random() * 20) / 10,
  top_p: (random) => Math.floor(random() * 100) / 100,
  top_k: (random) => Math.floor(random() * 100),
  n: (random) => 1 + Math.floor(random() * 3),
  seed: (random) => Math.floor(random() * 1e9),
  max_tokens: (random) => Math.floor(random() * 4000),
  max_completion_tokens: (random) => Math.floor(random() * 4000),
  stop: (random) => ['\n', text(random)],
  presence_penalty: (random) => Math.floor(random() * 40) / 10 - 2,
  frequency_penalty: (random) => Math.floor(random() * 40) / 10 - 2,
  logit_bias: (random) => ({ [String(Math.floor(random() * 50_000))]: -100, '9': 1 }),
  logprobs: (random) => random() < 0.5,
  top_logprobs: (random) => Math.floor(random() * 20),
  response_format: (random) => ({
    type: 'json_schema',
    json_schema: { name: text(random), schema: { type: 'object' } },
  }),
  tools: (random) => [{ type: 'function', function: { name: text(random), parameters: { type: 'object' } } }],
  tool_choice: (random) => (random() < 0.5 ? 'auto' : { type: 'function', function: { name: text(random) } }),
  parallel_tool_calls: (random) => random() < 0.5,
  reasoning_effort: (random) => (random() < 0.5 ? 'low' : 'high'),
  service_tier: (random) => text(random),
  modalities: () => ['text'],
  prediction: (random) => ({ type: 'content', content: text(random) }),
  provider: (random) => ({ order: [text(random)] }),
  transforms: (random) => [text(random)],
  store: (random) => random() < 0.5,
  a_member_yet_to_be_invented: (random) => ({ deep: [{ deeper: text(random) }] }),
  messages: (random) => [
    { role: 'system', content: text(random) },
    {
      role: 'user',
      content: [
        { type: 'text', text: text(random) },
        { type: 'image_url', image_url: { url: text(random) } },
      ],
    },
    { role: 'user', content: text(random), name: 'ali' },
  ],
};

const alphabet = ['a', 'é', 'e\u0301', 'ß', 'م', 'ل', ' ', '0', '9', '"', '\\', '\u0000', '😀', '\u202e', '{', ','];

function text(random: Random): string {
  return Array.from(
    { length: 1 + Math.floor(random() * 6) },
    () => alphabet[Math.floor(random() * alphabet.length)],
  ).join('');
}

function request(random: Random): { [key: string]: Json } {
  const chosen = Object.keys(fields).filter((name) => name === 'messages' || random() < 0.15);
  return { model: 'fast', ...Object.fromEntries(chosen.map((name) => [name, fields[name]!(random)])) };
}

/** The same value, written in another way: other order of keys, other forms of numbers and characters. */
function rewritten(value: Json, random: Random): string {
  if (Array.isArray(value)) return `[ ${value.map((item) => rewritten(item, random)).join(' , ')} ]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).toSorted(() => random() - 0.5);
    return `{ ${members.map(([key, member]) => `${escaped(key, random)} : ${rewritten(member, random)}`).join(',\n')} }`;
  }
  if (typeof value === 'number') {
    const forms = [String(value), `${value}${Number.isInteger(value) ? '.0' : '0'}`, `${value}e0`, `${value}E+000`];
    return forms[Math.floor(random() * forms.length)]!;
  }
  return typeof value === 'string' ? escaped(value, random) : String(value);
}

function escaped(value: string, random: Random): string {
  let written = '';
  for (const unit of value.split('')) {
    const isPlain = random() < 0.7;
    written += isPlain ? JSON.stringify(unit).slice(1, -1) : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  }
  return `"${written}"`;
}

/** Changes one place: a leaf's value, a member's name, an item more or less. */
function changed(value: Json, random: Random): Json {
  if (Array.isArray(value)) {
    if (value.length === 0 || random() < 0.2) return [...value, text(random)];
    const at = Math.floor(random() * value.length);
    if (random() < 0.1) return value.toSpliced(at, 1);
    return value.with(at, changed(value[at]!, random));
  }
  if (typeof value === 'object' && value !== null) {
    const keys = Object.keys(value);
    if (keys.length === 0 || random() < 0.1) return { ...value, [`new_${text(random)}`]: null };
    const key = keys[Math.floor(random() * keys.length)]!;
    const { [key]: member, ...rest } = value;
    const roll = random();
    if (roll < 0.05) return rest;
    if (roll < 0.1) return { ...rest, [`${key}_`]: member! };
    return { ...rest, [key]: changed(member!, random) };
  }
  if (typeof value === 'number')
    return [value + 1, value + 0.5, value - 1000, String(value)][Math.floor(random() * 4)]!;
  if (typeof value === 'boolean') return !value;
  if (value === null) return 'null';
  const other = [value.normalize('NFC'), value.normalize('NFD'), `${value} `, value.toUpperCase(), `${value}.`];
  return other.filter((form) => form !== value)[Math.floor(random() * 2)] ?? `${value}.`;
}

describe('a request', () => {
  test(
    'has the key of the same one written differently, and of no other: 100,000 pairs each',
    { timeout: 240_000 },
    () => {
      const random = seededRandom(42);
      let falseHits = 0;
      let falseMisses = 0;
      for (let i = 0; i < 100_000; i++) {
        const original = request(random);
        const key = keyOf(JSON.stringify(original));
        if (keyOf(rewritten(original, random)) !== key) falseMisses++;
        const { model, ...asked } = original;
        let other = changed(asked, random) as { [key: string]: Json };
        if (other['messages'] === undefined) other = { ...other, messages: [] };
        if (keyOf(JSON.stringify({ model: model!, ...other })) === key) falseHits++;
      }
      expect([falseHits, falseMisses]).toEqual([0, 0]);
    },
  );

  test.each(Object.keys(fields))('with another %s has another key', (field) => {
    const random = seededRandom(field.length);
    const base = { model: 'fast', messages: [] };
    const keys = new Set([
      keyOf(JSON.stringify(base)),
      keyOf(JSON.stringify({ ...base, [field]: null })),
      keyOf(JSON.stringify({ ...base, [field]: fields[field]!(random) })),
      keyOf(JSON.stringify({ ...base, [field]: { [field]: fields[field]!(random) } })),
    ]);
    expect(keys.size).toBe(4);
  });

  test.each([
    ['model', '"agent/x"'],
    ['stream', 'true'],
    ['metadata', '{"run":"7"}'],
    ['user', '"ali"'],
    ['safety_identifier', '"x"'],
    ['prompt_cache_key', '"x"'],
    ['session_id', '"x"'],
    ['stream_options', '{"include_usage":true}'],
  ])('has the same key whatever its %s is', (member, value) => {
    expect(keyOf(`{"messages":[],"${member}":${value}}`)).toBe(keyOf('{"messages":[]}'));
  });

  test('has another with any other option of streams', () => {
    const keys = ['{}', '{"include_obfuscation":false}', '{"include_obfuscation":true,"include_usage":true}'].map(
      (options) => keyOf(`{"messages":[],"stream_options":${options}}`),
    );
    expect(new Set(keys).size).toBe(3);
  });

  test('has the key of one that says what the agent would have added', () => {
    const held = { ...rule, params: { temperature: 0, user: 'agent' } };
    expect(keyOf('{"messages":[]}', { rule: held })).toBe(keyOf('{"messages":[],"temperature":0.0}', { rule: held }));
    expect(keyOf('{"messages":[]}', { rule: held })).not.toBe(keyOf('{"messages":[],"temperature":1}', { rule: held }));
  });
});

describe('whose it is', () => {
  const asked = '{"messages":[]}';
  const isPrivate = { ...rule, policy: { ...usualPolicy, isPrivate: true } };
  const tables: [what: string, one: Asking, other: Asking][] = [
    ['the tenant', {}, { by: { ...principal, tenant: 'other' } }],
    ['the model', {}, { model: 'other' }],
    ['the versions', {}, { rule: { ...rule, origin: 'p' } }],
    [
      'the subject, where it is private',
      { rule: isPrivate },
      { rule: isPrivate, by: { ...principal, subject: 'other' } },
    ],
    [
      'the API key, where it is private',
      { rule: isPrivate, by: { ...principal, via: 'api-key', credential: '1' } },
      { rule: isPrivate, by: { ...principal, via: 'api-key', credential: '2' } },
    ],
  ];

  test.each(tables)('another key with %s', (_what, one, other) => {
    expect(keyOf(asked, one)).not.toBe(keyOf(asked, other));
  });

  test('the same key for everybody of a tenant, where it is not private', () => {
    expect(keyOf(asked)).toBe(keyOf(asked, { by: { ...principal, subject: 'other', credential: 'x' } }));
  });
});

describe('what is found by its spelling', () => {
  const asked = '{"messages":[]}';
  const spelled = (
    over: Partial<Pick<Asking, 'by' | 'model' | 'rule'>> & { readonly text?: string } = {},
  ): string | null => {
    const { by = principal, model = 'fast', rule: held = rule, text: written = asked } = over;
    const body = JsonDocument.parse(Buffer.from(written));
    return new Spellings().spell(by, { model, chat: { body, edits: [], stream: false, wantsUsage: false } }, held);
  };
  const isPrivate = { ...rule, policy: { ...usualPolicy, isPrivate: true } };

  test('is everything that makes the key', () => {
    const all = [
      spelled(),
      spelled({ by: { ...principal, tenant: 'other' } }),
      spelled({ by: { ...principal, tenant: 'acme4:fast' } }),
      spelled({ model: 'other' }),
      spelled({ rule: { ...rule, origin: 'p' } }),
      spelled({ text: '{"messages": []}' }),
      spelled({ rule: isPrivate }),
      spelled({ rule: isPrivate, by: { ...principal, subject: 'other' } }),
      spelled({ rule: isPrivate, by: { ...principal, via: 'api-key', credential: '1' } }),
      spelled({ rule: isPrivate, by: { ...principal, via: 'api-key', credential: '2' } }),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(spelled()).toBe(spelled());
  });

  test('is never a long text', () => {
    expect(spelled({ text: JSON.stringify({ messages: ['x'.repeat(10_000)] }) })).toBe(null);
  });
});

describe('the rules', () => {
  const rules = new CacheRules({
    policy: usualPolicy,
    agents: new Map([['a', { version: '1', policy: { ttlMs: 5 }, params: { seed: 1 } }]]),
    models: new Map([['fast', { version: '2', policy: { ttlMs: 7, when: 'always' as const } }]]),
    providers: new Map([['p', '3']]),
  });

  test('are those of the agent over those of its model over those of all', () => {
    expect(rules.find('a', 'fast').policy).toEqual({ ...usualPolicy, ttlMs: 5, when: 'always' });
    expect(rules.find(null, 'fast').policy).toEqual({ ...usualPolicy, ttlMs: 7, when: 'always' });
    expect(rules.find(null, 'p/anything').policy).toEqual(usualPolicy);
  });

  test('tell versions apart, and are made once for what is called directly', () => {
    const origins = [
      rules.find('a', 'fast'),
      rules.find(null, 'fast'),
      rules.find(null, 'p/x'),
      rules.find('a', 'p/x'),
    ];
    expect(new Set(origins.map(({ origin }) => origin)).size).toBe(4);
    expect(rules.find(null, 'p/x')).toBe(rules.find(null, 'p/y'));
  });

  test('versions change with the definition, not with its order', () => {
    expect(versionOf({ a: 1, b: { c: [1] } })).toBe(versionOf({ b: { c: [1] }, a: 1 }));
    expect(versionOf({ a: 1 })).not.toBe(versionOf({ a: 2 }));
  });
});
