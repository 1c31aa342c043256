import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const src = resolve(import.meta.dirname, '../src');

/** An import or a re-export that is there when the program runs, and not only when it is checked. */
const statement = /^(?:import|export)\s(?!type\b)(?:[^;'"]*?\sfrom\s)?['"]([^'"]+)['"]/gm;

/** The packages that are loaded with a file, before any of it runs. */
function packagesOf(entry: string): string[] {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(statement)) {
      if (specifier.startsWith('.')) visit(join(dirname(file), specifier));
      else if (!specifier.startsWith('node:') && !builtinModules.includes(specifier)) packages.add(specifier);
    }
  };
  visit(join(src, entry));
  return [...packages].toSorted();
}

test.each([
  ['the command itself, with all its usage texts', 'cli/index.ts', ['commander', 'croner', 'lru-cache', 'yaml', 'zod']],
  ['what signs a token', 'security/create-tokens.ts', ['jose', 'zod']],
  ['the thread that reads the database', 'store/sqlite/reader.worker.ts', ['kysely']],
  ['the thread that makes sums', 'store/sqlite/store.worker.ts', ['kysely']],
  ['the thread that seals what was said', 'store/payloads/payloads.worker.ts', []],
  ['the thread that looks for damage', 'store/sqlite/soundness.worker.ts', []],
  ['the thread that speaks with PostgreSQL', 'store/postgres/postgres.worker.ts', ['kysely', 'kysely/migration', 'pg']],
])('%s loads no package that it has no use for', (_what, entry, packages) => {
  expect(packagesOf(entry)).toEqual(packages);
});

test('the server is more than that, so this is seen; of undici it loads the connector alone', () => {
  const packages = packagesOf('main.ts');
  expect(packages).toEqual(expect.arrayContaining(['fastify', 'kysely', 'pino', 'undici/lib/core/connect.js']));
  expect(packages).not.toContain('undici');
});
