import { expect, test } from 'vitest';
import { configJsonSchema } from './json-schema.ts';

type Json = { readonly [key: string]: unknown };

/** Every schema of a key, by its path. What the simulator's faults are is their own module's to describe. */
function* keys(schema: Json, path: string): Generator<[string, Json]> {
  const {
    properties = {},
    additionalProperties,
    items,
    anyOf = [],
  } = schema as {
    properties?: Record<string, Json>;
    additionalProperties?: Json | boolean;
    items?: Json;
    anyOf?: Json[];
  };
  for (const [key, value] of Object.entries(properties)) {
    yield [`${path}.${key}`, value];
    if (key !== 'faults') yield* keys(value, `${path}.${key}`);
  }
  if (typeof additionalProperties === 'object') yield* keys(additionalProperties, `${path}.*`);
  if (items !== undefined) yield* keys(items, `${path}[]`);
  for (const branch of anyOf) yield* keys(branch, path);
}

const all = [...keys(configJsonSchema(), '$')];
const byPath = new Map(all);

test('every key has a description', () => {
  expect(all.filter(([, schema]) => typeof schema['description'] !== 'string').map(([path]) => path)).toEqual([]);
  expect(all.length).toBeGreaterThan(50);
});

test('it is draft 2020-12, of what is written: nothing that has a default is required', () => {
  const schema = configJsonSchema();
  expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema');
  expect(schema['required']).toBeUndefined();
  expect(byPath.get('$.server.bodyLimit')?.['default']).toBe('10MiB');
});

test('unknown keys are refused', () => {
  expect(configJsonSchema()['additionalProperties']).toBe(false);
  expect(byPath.get('$.server')?.['additionalProperties']).toBe(false);
});

test('a variable may stand for a number', () => {
  const branches = byPath.get('$.server.port')?.['anyOf'] as Json[];
  expect(branches.map(({ type }) => type)).toEqual(['integer', 'string']);
  expect('${PORT:-8000}').toMatch(new RegExp(String(branches[1]?.['pattern'])));
});

test('a provider may leave out its kind, which its name can say', () => {
  const providers = byPath.get('$.providers')?.['additionalProperties'] as { anyOf: Json[] };
  expect(providers.anyOf.map(({ required }) => required)).toEqual([undefined, undefined]);
});
