import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConfigError } from './load.ts';
import { problems, read } from './reading.suite.ts';

/** Everything that YAML, variables or our own sections give a meaning to. */
const signs =
  'server: |providers: |models: |agents: |instances: |params: |kind: |port: |simulator|{|}|[|]|, |: |- |? |!!str |&a |*a |' +
  '"|\'|${|${X}|${X:-|$${|>\n|---\n|#|\n|\n  |\n    |\t|__proto__|constructor|null|~|1|.inf|true|%YAML 1.1\n|\u0000|\uFEFF|\uD800';

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.constantFrom(...signs.split('|'), '|\n'), { maxLength: 40 }).map((parts) => parts.join('')),
);

test('nothing but a ConfigError with at least one problem is thrown', () => {
  fc.assert(
    fc.property(text, (written) => {
      let problem: unknown;
      try {
        read(written, { X: 'y' });
      } catch (error) {
        problem = error instanceof ConfigError ? error.problems[0]?.message : error;
      }
      expect(['string', 'undefined']).toContain(typeof problem);
    }),
    { numRuns: 1000 },
  );
});

test('no problem shows a secret', () => {
  const secret = fc.constantFrom(
    'hunter2',
    '"hunter2',
    '[hunter2]',
    '{ hunter2: hunter2x }',
    '"${S}"',
    '${S}x',
    '!hunter2 x',
  );
  const place = fc.constantFrom<(value: string) => string>(
    (value) => `providers: { openrouter: { apiKey: ${value}, kind: [] } }`,
    (value) => `providers: { openrouter: ${value} }`,
    (value) => `providers: { ollama: { baseUrl: ${value}, headers: { a: ${value}, "b c": ${value} } } }`,
    (value) => `auth: { jwt: { secret: ${value} } }`,
    (value) => `database: { url: ${value} }\nredis: { url: ${value} }`,
    (value) => `server: { port: "\${S}" }\nprovider: ${value}`,
  );
  fc.assert(
    fc.property(place, secret, (write, value) => {
      const said = problems(write(value), { S: 'hunter2', MIZAN_JWT_SECRET: 'hunter2' }).join('\n');
      // A key of a mapping has to be named, and isn't where secrets stand.
      expect(said.replaceAll('.hunter2:', '')).not.toContain('hunter2');
    }),
  );
});
