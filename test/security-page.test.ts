import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/en/security.md'), 'utf8');

/** `FILE` "NAME" */
const references = [...page.matchAll(/`((?:src|test)\/[\w./-]+\.test\.ts)` "([^"]+)"/g)];

test('every test that the page about security names is there', () => {
  expect(references.length).toBeGreaterThan(20);
  const missing = references.filter(([, file = '', name = '']) => {
    return !readFileSync(join(root, file), 'utf8').includes(`'${name}'`);
  });
  expect(missing.map(([, file, name]) => `${file} "${name}"`)).toEqual([]);
});

test('the page about security goes through RFC 8725 point by point, each with a test', () => {
  for (let point = 1; point <= 12; point++) {
    const row = page.split('\n').find((line) => line.startsWith(`| 3.${point} `)) ?? '';
    expect(row, `3.${point}`).toMatch(/\| `(?:src|test)\/.*\.test\.ts` "/);
  }
});
