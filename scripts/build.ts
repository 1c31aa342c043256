/**
 * Bundles the command into `dist/`, with everything that it needs from npm: `dist/` and Node are all that an image or
 * a published package holds. What the bundled packages' licences ask to be kept goes to `dist/licenses.txt`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Plugin } from 'rolldown';
import { rolldown } from 'rolldown';

const root = path.resolve(import.meta.dirname, '..');
const outFolder = path.join(root, 'dist');

/** What programs import as `mizan/security`. */
const library = 'src/security/index.ts';

/** `new URL('./x.worker.ts', import.meta.url)`, the one form in which the sources name a worker. */
const workerUrl = /new URL\(\s*(['"])([^'"]+\.worker)\.ts\1,\s*import\.meta\.url\s*,?\s*\)/g;

/** Every file of the bundle lies in `dist/` itself, so that `./` is the right way from each to each. */
function nameOf(worker: string): string {
  return path.relative(path.join(root, 'src'), worker).replaceAll(path.sep, '-').replace(/\.ts$/, '');
}

const workers = globSync('src/**/*.worker.ts', { cwd: root }).map((file) => path.join(root, file));

const workersByName: Plugin = {
  name: 'workers',
  transform(code, id) {
    if (!code.includes('.worker.ts')) return null;
    const bundled = code.replaceAll(workerUrl, (_all, _quote, specifier: string) => {
      const file = path.resolve(path.dirname(id), `${specifier}.ts`);
      if (!workers.includes(file)) this.error(`${id} names a worker that is not in src: ${specifier}.ts`);
      return `new URL('./${nameOf(file)}.js', import.meta.url)`;
    });
    if (bundled.includes('.worker.ts')) this.error(`${id} names a worker in a form that the bundle does not know.`);
    return { code: bundled, map: null };
  },
};

rmSync(outFolder, { recursive: true, force: true });
const bundle = await rolldown({
  cwd: root,
  input: {
    cli: path.join(root, 'src/cli/index.ts'),
    security: path.join(root, library),
    ...Object.fromEntries(workers.map((file) => [nameOf(file), file])),
  },
  platform: 'node',
  plugins: [workersByName],
});
const { output } = await bundle.write({
  dir: outFolder,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  sourcemap: true,
  // Less to read at every start; names stay, for stack traces.
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
});
await bundle.close();

const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
writeFileSync(path.join(outFolder, 'licenses.txt'), licensesOf(modules));

/** The licence files of all packages that any of the modules came from. */
function licensesOf(moduleIds: readonly string[]): string {
  const packages = new Set(moduleIds.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []));
  const texts = [...packages].toSorted().map((folder) => {
    const manifest: unknown = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
    const { name, version, license } = manifest as Record<string, unknown>;
    const [file] = globSync('{licen[cs]e,LICEN[CS]E,copying,COPYING}*', { cwd: folder });
    const text = file === undefined ? '' : `\n${readFileSync(path.join(folder, file), 'utf8').trim()}\n`;
    return `${String(name)} ${String(version)} (${String(license)})\n${text}`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

writeTypes();

/** The library's declarations, with their docstrings, as TypeScript makes them of the sources. */
function writeTypes(): void {
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
  const out = path.join(outFolder, 'types');
  const args = ['-p', 'tsconfig.types.json', '--outDir', out];
  execFileSync(process.execPath, [compiler, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (!existsSync(path.join(out, 'security/index.d.ts'))) throw new Error('The library has no types.');
}

if (!existsSync(path.join(outFolder, 'cli.js'))) throw new Error('The bundle has no cli.js.');
