import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deepest, mayImport } from '../boundaries.ts';

/** Every top-level part of `src/`. A new one is added here and in the table. */
const house = [
  'cli',
  'compose',
  'config',
  'core',
  'edge',
  'egress',
  'flow',
  'main.ts',
  'providers',
  'redis',
  'scheduler',
  'security',
  'store',
  'telemetry',
];
const folders = house.filter((name) => name !== 'main.ts');

interface Planted {
  readonly file: string;
  readonly code: string;
}

const root = path.resolve(import.meta.dirname, '..');
const planted: Planted[] = [];
let caught = new Set<string>();
let clone: string;

function plant(file: string, code: string): Planted {
  const plan = { file, code };
  planted.push(plan);
  return plan;
}

/** One import of `target` from a file that lies `depth` folders below `src/`, in a form of its own for each depth. */
function arrow(from: string, target: string, depth: number): Planted {
  const source = `${'../'.repeat(depth)}${/\.\w+$/.test(target) ? target : `${target}/x.ts`}`;
  const form =
    depth === 2 ? `import type { X } from '${source}';\nexport type Y = X;\n` : `export * from '${source}';\n`;
  const name = target.replaceAll(/\W/g, '-');
  return plant(`${from}/${'deep/'.repeat(depth - 1)}to-${name}.ts`, form);
}

/** What `folder` must not reach, by the table as it is. */
function forbiddenTo(folder: string): string[] {
  return house.filter((other) => other !== folder && !(mayImport[folder] ?? []).includes(other));
}

/** One import of each of `targets` from files of `folder`, right in it and one folder further down. */
function arrows(folder: string, targets: readonly string[]): Planted[] {
  return targets.flatMap((target) => [1, 2].map((depth) => arrow(folder, target, depth)));
}

const violations = folders.map((folder) => ({ folder, files: arrows(folder, forbiddenTo(folder)) }));
const allowed = folders.map((folder) => ({ folder, files: arrows(folder, mayImport[folder] ?? []) }));
const others = {
  'a dynamic import': plant('core/dynamic.ts', "export const x = import('../flow/x.ts');\n"),
  'a type in an import()': plant('core/type.ts', "export type X = import('../flow/x.ts').X;\n"),
  'a path with a detour': plant('core/detour.ts', "export * from './sub/../../flow/x.ts';\n"),
  'a file beside an allowed one': plant('config/beside.ts', "export * from '../providers/transport.ts';\n"),
  'what is outside of src': plant('core/outside.ts', "export * from '../../bench/x.ts';\n"),
  'a test from code': plant('core/imports-test.ts', "export * from './x.test.ts';\n"),
  'a folder from the deepest place': arrow('core', 'flow', deepest),
  'the command from the composition root': plant('main.ts', "export * from './cli/x.ts';\n"),
};
const fine = {
  'a test may import anything': plant('core/any.test.ts', "import '../main.ts';\nimport '../../bench/x.ts';\n"),
  'a suite of tests may import anything': plant('core/any.suite.ts', "import '../main.ts';\n"),
  'npm and Node modules are free': plant('core/free.ts', "export * from 'zod';\nexport * from 'node:util';\n"),
  'a folder imports itself': plant('edge/http/own.ts', "export * from '../auth/x.ts';\nexport * from './x.ts';\n"),
};

beforeAll(async () => {
  clone = await mkdtemp(path.join(tmpdir(), 'mizan-boundaries-'));
  const config = JSON.stringify(path.join(root, 'oxlint.config.ts'));
  await writeFile(
    path.join(clone, 'oxlint.config.ts'),
    `import config from ${config};\nexport default { ...config, options: { typeAware: false } };\n`,
  );
  await Promise.all(
    planted.map(async ({ file, code }) => {
      const target = path.join(clone, 'src', file);
      await mkdir(path.dirname(target), { recursive: true });
      await writeFile(target, code);
    }),
  );
  caught = await lint(clone);
});

afterAll(() => rm(clone, { recursive: true, force: true }));

/** The planted files, relative to `src/`, in which a boundary rule found something. */
async function lint(folder: string): Promise<Set<string>> {
  const oxlint = path.join(root, 'node_modules/oxlint/bin/oxlint');
  const { stdout } = await promisify(execFile)(process.execPath, [oxlint, '--format=json', 'src'], {
    cwd: folder,
    maxBuffer: 64 * 1024 * 1024,
  }).catch((error: unknown) => {
    if (typeof error === 'object' && error !== null && 'stdout' in error && String(error.stdout).startsWith('{')) {
      return { stdout: String(error.stdout) };
    }
    throw error;
  });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  const rules = /no-restricted-imports|consistent-type-imports/;
  return new Set(
    diagnostics.filter(({ code }) => rules.test(code)).map(({ filename }) => filename.replace(/^.*?src\//, '')),
  );
}

describe('the table', () => {
  test('names every part of src/, and nothing else', async () => {
    expect(Object.keys(mayImport).toSorted()).toEqual(house);
    const present = await readdir(path.join(root, 'src'));
    expect(present.filter((name) => !house.includes(name) && !name.endsWith('.test.ts'))).toEqual([]);
  });

  test('reaches as deep as src/ does', async () => {
    const files = await readdir(path.join(root, 'src'), { recursive: true });
    const depths = files.filter((name) => name.endsWith('.ts')).map((name) => name.split(path.sep).length - 1);
    expect(Math.max(...depths)).toBeLessThanOrEqual(deepest);
  });

  test('has no circle', () => {
    const under = (name: string): string[] => (mayImport[name] ?? []).map((to) => to.split('/')[0] ?? to);
    const left = new Set(house);
    for (let before = -1; before !== left.size;) {
      before = left.size;
      for (const name of left) if (!under(name).some((to) => to !== name && left.has(to))) left.delete(name);
    }
    expect([...left]).toEqual([]);
  });

  test('lets nobody import the command, and only the command import the composition root', () => {
    expect(house.filter((name) => mayImport[name]?.includes('cli'))).toEqual([]);
    expect(house.filter((name) => mayImport[name]?.includes('main.ts'))).toEqual(['cli']);
  });

  test('keeps the vocabulary free of everything, and the edge away from the providers', () => {
    expect(mayImport['core']).toEqual([]);
    expect(mayImport['providers']).toEqual(['core', 'egress']);
    expect(mayImport['edge']).not.toContain('providers');
    expect(mayImport['edge']).not.toContain('store');
  });
});

describe('the linter refuses', () => {
  test.for(violations)('whatever $folder may not import', ({ files }) => {
    expect(files.length).toBeGreaterThanOrEqual(2 * 4);
    expect(files.filter(({ file }) => !caught.has(file))).toEqual([]);
  });

  test.for(Object.entries(others))('%s', ([, { file }]) => {
    expect(caught).toContain(file);
  });
});

describe('the linter accepts', () => {
  test.for(allowed)('what $folder may import', ({ files }) => {
    expect(files.filter(({ file }) => caught.has(file))).toEqual([]);
  });

  test.for(Object.entries(fine))('%s', ([, { file }]) => {
    expect(caught).not.toContain(file);
  });
});
