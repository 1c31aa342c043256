import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { Refusal } from './openai-error.ts';
import { instanceOf } from './schema-instance.ts';

const cases: [name: string, schema: unknown, instance: unknown][] = [
  ['no type', {}, {}],
  ['anything', true, {}],
  ['a string', { type: 'string' }, 'text'],
  ['a short string', { type: 'string', maxLength: 2 }, 'te'],
  ['a long string', { type: 'string', minLength: 6 }, 'text..'],
  ['a pattern', { type: 'string', pattern: '^[A-Z]{3}$' }, 'AAA'],
  ['a date', { type: 'string', format: 'date' }, '2026-01-01'],
  ['an enum', { enum: ['c', 'f'] }, 'c'],
  ['a constant', { const: null }, null],
  ['a nullable type', { type: ['null', 'boolean'] }, true],
  ['an integer', { type: 'integer' }, 0],
  ['an integer from 3', { type: 'integer', minimum: 3 }, 3],
  ['an integer over 3', { type: 'integer', exclusiveMinimum: 3 }, 4],
  ['an integer up to -2', { type: 'integer', maximum: -2 }, -2],
  ['a multiple of 5 from 7', { type: 'integer', minimum: 7, multipleOf: 5 }, 10],
  ['a number over 0 and under 1', { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, 0.5],
  ['a list', { type: 'array', items: { type: 'string' } }, []],
  ['two of a list', { type: 'array', items: { type: 'integer' }, minItems: 2 }, [0, 0]],
  [
    'two different ones',
    { type: 'array', items: { type: 'string' }, minItems: 2, uniqueItems: true },
    ['text', '2 text'],
  ],
  ['a tuple', { type: 'array', prefixItems: [{ type: 'string' }, { type: 'null' }] }, ['text', null]],
  [
    'only what is required',
    { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } }, required: ['b'] },
    { b: 0 },
  ],
  ['a reference', { $ref: '#/$defs/a~1b', $defs: { 'a/b': { type: 'boolean' } } }, true],
  ['all of several', { allOf: [{ required: ['a'] }, { properties: { a: { const: 1 } }, required: ['a'] }] }, { a: 1 }],
  [
    'a list that may end',
    {
      type: 'object',
      properties: { v: { const: 1 }, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } },
      required: ['v', 'next'],
    },
    { v: 1, next: null },
  ],
];

test.each(cases)('the least instance of %s', (_, schema, instance) => {
  expect(instanceOf(schema, 'x')).toEqual(instance);
});

const impossible: [name: string, schema: unknown][] = [
  ['nothing', false],
  ['endless', { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }],
  ['circular', { $ref: '#' }],
  [
    'huge',
    { type: 'array', minItems: 100, items: { type: 'array', minItems: 100, items: { type: 'array', minItems: 100 } } },
  ],
  ['endlessly wordy', { type: 'array', minItems: 1000, items: { enum: ['x'.repeat(1000)] } }],
  ['full of long names', { type: 'array', minItems: 1000, items: { required: ['x'.repeat(1000)] } }],
  ['full of long strings', { type: 'array', minItems: 1000, items: { type: 'string', minLength: 1000 } }],
  ['very long', { type: 'string', minLength: 1e12 }],
  ['between the bounds', { type: 'integer', exclusiveMinimum: 0, exclusiveMaximum: 1 }],
  ['elsewhere', { $ref: 'https://example.com/schema' }],
  ['badly escaped', { $ref: '#/%zz' }],
  ['a maze', { $ref: '#/$defs/a', $defs: { a: { allOf: Array.from({ length: 50 }, () => ({ $ref: '#/$defs/a' })) } } }],
  ['missing', { $ref: '#/$defs/none' }],
  ['unmatched', { type: 'string', pattern: '^(?!a)a$' }],
];

test.each(impossible)('a schema that is %s is refused and named', (_, schema) => {
  expect(() => instanceOf(schema, 'tools[0].function.parameters')).toThrow(Refusal);
  expect(() => instanceOf(schema, 'tools[0].function.parameters')).toThrow("'tools[0].function.parameters'");
});

const { schema: anySchema } = fc.letrec<{ schema: z.ZodType; leaf: z.ZodType }>((tie) => ({
  leaf: fc.oneof(
    fc.tuple(fc.nat(9), fc.nat(9)).map(([min, more]) =>
      z
        .string()
        .min(min)
        .max(min + more),
    ),
    fc.tuple(fc.integer({ min: -9, max: 9 }), fc.nat(9)).map(([min, more]) =>
      z
        .int()
        .min(min)
        .max(min + more),
    ),
    fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: 1, max: 9 })).map(([min, more]) =>
      z
        .number()
        .gt(min / 2)
        .lt(min / 2 + more),
    ),
    fc.integer({ min: 1, max: 9 }).map((step) => z.number().multipleOf(step).min(1)),
    fc.constantFrom(z.boolean(), z.null(), z.email(), z.uuid(), z.iso.datetime(), z.url(), z.iso.date(), z.ipv4()),
    fc.constantFrom(z.enum(['a', 'b']), z.literal(7), z.string().regex(/^[a-f]+-\d{3}$/)),
  ),
  schema: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__x'), tie('schema')).map((shape) => z.strictObject(shape)),
    tie('schema').map((schema) => z.object({ maybe: schema.optional() })),
    fc.tuple(tie('schema'), fc.nat(3)).map(([schema, least]) => z.array(schema).min(least)),
    fc.tuple(tie('schema'), tie('schema')).map(([a, b]) => z.union([a, b])),
    fc.tuple(tie('schema'), tie('schema')).map(([a, b]) => z.tuple([a, b])),
    tie('schema').map((schema) => schema.nullable()),
  ),
}));

test('whatever a program describes with zod, the instance satisfies it', () => {
  fc.assert(
    fc.property(anySchema, (schema) => {
      expect(schema.safeParse(instanceOf(z.toJSONSchema(schema), 'x')).error).toBeUndefined();
    }),
    { numRuns: 150 },
  );
});
