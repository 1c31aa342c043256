import { Writable } from 'node:stream';
import { format, inspect } from 'node:util';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { Secret } from './secret.ts';

const value = 'sk-do-not-print-me';
const secret = new Secret(value);

test('a secret is known to whoever asks for it by name', () => {
  expect(secret.reveal()).toBe(value);
});

test('what is printed in its stead says that there is one', () => {
  expect([String(secret), inspect(secret), JSON.stringify(secret)]).toStrictEqual([
    '[secret]',
    '[secret]',
    '"[secret]"',
  ]);
});

const printed: [how: string, print: (it: unknown) => string][] = [
  ['String()', String],
  ['a template', (it) => `it is ${it as string}`],
  ['joining', (it) => [it, it].join()],
  ['JSON.stringify', (it) => JSON.stringify({ deep: [{ it }] })],
  ['inspect', (it) => inspect({ deep: { it } }, { depth: null })],
  ['inspect without custom inspectors', (it) => inspect(it, { customInspect: false, showHidden: true })],
  ['console.log’s format', (it) => format('%s %o %O %j', it, it, it, it)],
  ['its own members', (it) => JSON.stringify(Object.getOwnPropertyNames(it))],
  ['a copy', (it) => inspect({ ...(it as object) }) + inspect(structuredClone(it))],
];

test.each(printed)('a secret is not printed by %s', (_how, print) => {
  expect(print(secret)).not.toContain(value);
});

test('a secret is not printed by the log, neither as a field nor inside an error', () => {
  let lines = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines += String(chunk);
      done();
    },
  });
  const log = pino({}, stream);
  const cause = Object.assign(new Error('no'), { config: { apiKey: secret } });
  log.error({ apiKey: secret, deep: { list: [secret] }, err: new Error('failed', { cause }), other: cause }, 'event');
  log.info(secret, 'event');
  expect(lines).toContain('"apiKey":"[secret]"');
  expect(lines).not.toContain(value);
});
