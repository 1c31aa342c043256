import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const manifest = JSON.parse(read('package.json')) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
const [runtime = '', development = ''] = read('docs/decisions/dependencies.md').split('## For development');

/** The names in the first column of a page's tables. */
function namesIn(page: string): string[] {
  const cells = page.split('\n').flatMap((line) => /^\|([^|]*)\|/.exec(line)?.[1] ?? []);
  return cells.flatMap((cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = '']) => name)).toSorted();
}

test('every dependency says why it is one', () => {
  expect(namesIn(runtime)).toEqual(Object.keys(manifest.dependencies).toSorted());
  expect(namesIn(development)).toEqual(Object.keys(manifest.devDependencies).toSorted());
});

test('there are at most 25 runtime dependencies', () => {
  expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(25);
});

test('nothing but the runtime has an install script, and BullMQ brings no native add-on', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean; readonly link?: boolean }>>;
  };
  const scripted = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
  expect(scripted.map(([path]) => path)).toEqual(['node_modules/node']);
  const native = Object.entries(packages).filter(([path]) => path.includes('msgpackr-extract'));
  expect(native).toEqual([['node_modules/msgpackr-extract', { resolved: 'scripts/no-native', link: true }]]);
});

test('there is one client of Redis, which BullMQ uses too', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    readonly packages: Readonly<Record<string, unknown>>;
  };
  expect(Object.keys(packages).filter((path) => path.endsWith('/ioredis'))).toEqual(['node_modules/ioredis']);
});
