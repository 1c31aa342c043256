import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from './load.ts';
import type { Config } from './config.ts';

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mizan-config-'));
  mkdirSync(join(folder, 'empty'));
  writeFileSync(join(folder, 'mizan.yaml'), 'server: { port: 1 }');
  writeFileSync(join(folder, 'other.yaml'), 'server: { port: 2 }');
  writeFileSync(join(folder, 'latin1.yaml'), Buffer.from('a: 1\nb: caf\xe9\n', 'latin1'));
  writeFileSync(join(folder, 'mebibyte.yaml'), `#${'x'.repeat(1_048_575)}`);
  writeFileSync(join(folder, 'more.yaml'), `#${'x'.repeat(1_048_576)}`);
  symlinkSync('loop.yaml', join(folder, 'loop.yaml'));
  symlinkSync('nowhere.yaml', join(folder, 'dangling.yaml'));
});

afterAll(() => rmSync(folder, { recursive: true }));

function load(file: string | undefined, env: Record<string, string> = {}, cwd = folder): Config {
  return loadConfig({ file, env, cwd });
}

test('--config comes before MIZAN_CONFIG, and that before mizan.yaml', () => {
  expect(load('other.yaml', { MIZAN_CONFIG: 'mizan.yaml' })).toMatchObject({ file: 'other.yaml', server: { port: 2 } });
  expect(load(undefined, { MIZAN_CONFIG: 'other.yaml' })).toMatchObject({ file: 'other.yaml', server: { port: 2 } });
  expect(load(undefined, { MIZAN_CONFIG: '' })).toMatchObject({ file: 'mizan.yaml', server: { port: 1 } });
  expect(load(join(folder, 'other.yaml'), {}, '/')).toMatchObject({ server: { port: 2 } });
});

test('without any file there are defaults', () => {
  expect(load(undefined, {}, join(folder, 'empty'))).toMatchObject({ file: null, server: { port: 8000 } });
});

test('a file of exactly 1 MiB is read', () => {
  expect(load('mebibyte.yaml').server.port).toBe(8000);
});

const cases: [promise: string, file: string, line: string][] = [
  ['a file that is not there', 'nope.yaml', 'nope.yaml: there is no such file'],
  ['a link to nowhere', 'dangling.yaml', 'dangling.yaml: there is no such file'],
  ['a folder', 'empty', 'empty: expected a file, found a folder'],
  ['a path through a file', 'other.yaml/x', 'other.yaml/x: this file cannot be read (ENOTDIR)'],
  ['a link to itself', 'loop.yaml', 'loop.yaml: this file cannot be read (ELOOP)'],
  ['bytes that are no UTF-8', 'latin1.yaml', 'latin1.yaml: expected UTF-8; the file has other bytes in line 2'],
  ['more than 1 MiB', 'more.yaml', 'more.yaml: expected at most 1 MiB'],
  ['a device without an end', '/dev/zero', '/dev/zero: expected at most 1 MiB'],
];

test.each(cases)('%s is refused', (_, file, line) => {
  expect(() => load(file)).toThrow(expect.objectContaining({ name: 'ConfigError', message: line }));
});

test('a file that MIZAN_CONFIG names in vain is told with the variable', () => {
  expect(() => load(undefined, { MIZAN_CONFIG: 'nope.yaml' })).toThrow(
    expect.objectContaining({ message: 'nope.yaml: there is no such file; MIZAN_CONFIG names it' }),
  );
});

test('a mizan.yaml that cannot be read is not passed over', () => {
  mkdirSync(join(folder, 'a', 'mizan.yaml'), { recursive: true });
  mkdirSync(join(folder, 'b'));
  symlinkSync('mizan.yaml', join(folder, 'b', 'mizan.yaml'));
  const failing = (name: string) => () => load(undefined, {}, join(folder, name));
  expect(failing('a')).toThrow(expect.objectContaining({ message: 'mizan.yaml: expected a file, found a folder' }));
  expect(failing('b')).toThrow(expect.objectContaining({ message: 'mizan.yaml: this file cannot be read (ELOOP)' }));
});
