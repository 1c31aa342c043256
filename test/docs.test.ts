import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { errorsDoc, errorsPage } from '../scripts/errors-doc.ts';
import { configJsonSchema } from '../src/config/json-schema.ts';
import { errorTable } from '../src/core/errors.ts';
import type { FailureFacts } from '../src/core/failure.ts';
import { failureTable } from '../src/core/failure.ts';
import { strategyNames } from '../src/core/strategy-name.ts';
import { routes } from '../src/edge/http/routes.ts';
import { catalogue } from '../src/providers/catalogue.ts';
import { Metrics } from '../src/telemetry/metrics.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
/** A page without the spaces that only align its tables. */
const readPage = (name: string, language = 'en'): string => read(`docs/${language}/${name}.md`).replaceAll(/ +/g, ' ');
const filesOf = (pattern: string): string[] => globSync(pattern, { cwd: root }).toSorted();

test('the page of errors is what the table of errors says', () => {
  expect(readFileSync(errorsDoc, 'utf8'), 'Run: node scripts/errors-doc.ts --write').toBe(errorsPage());
});

test('every error code is used somewhere', () => {
  const sources = filesOf('src/**/*.ts').filter((path) => !/errors\.ts$|\.(?:test|suite)\.ts$/.test(path));
  const text = ['src/edge/http/errors.ts', ...sources].map(read).join('\n');
  const unused = Object.keys(errorTable).filter((code) => !text.includes(`'${code}'`));
  expect(unused).toEqual([]);
});

test('the page about HTTP has every route with its least role and its tenant', () => {
  const page = readPage('http');
  const rows = routes.map(
    ({ method, url, role, tenant }) => `| \`${method} ${url}\` | ${role === null ? '–' : `\`${role}\``} | ${tenant} |`,
  );
  expect(rows.filter((row) => !page.includes(row))).toEqual([]);
});

test('the page about the audit log has every action that is recorded', () => {
  const sources = filesOf('src/{cli,edge}/**/*.ts').filter((path) => !/\.(?:test|suite)\.ts$/.test(path));
  const recorded = /(?:action: |did\(audit, |audit\(store, )'([\w-]+\.[\w-]+)'/g;
  const actions = new Set(sources.flatMap((path) => [...read(path).matchAll(recorded)].map(([, action]) => action)));
  expect(actions.size).toBeGreaterThan(10);
  const page = readPage('audit');
  expect([...actions].filter((action) => !page.includes(`| \`${action}\` |`))).toEqual([]);
});

test('the page about HTTP names the code of every failure', () => {
  const page = readPage('http');
  const codes = Object.values(failureTable).map(({ code }) => `\`${code}\``);
  expect(codes.filter((code) => !page.includes(code))).toEqual([]);
});

test('the page about operations has every metric with its labels, and every outcome', async () => {
  const page = readPage('operations');
  const { registry } = new Metrics(() => 0);
  const names = (await registry.getMetricsAsJSON()).map(({ name }) => name).filter((name) => name.startsWith('mizan_'));
  const rows = names.map((name) => {
    const { labelNames } = registry.getSingleMetric(name) as unknown as { readonly labelNames: readonly string[] };
    return ['', `\`${name}\``, labelNames.map((label) => `\`${label}\``).join(', '), ''].join(' | ').trim();
  });
  expect(rows.length).toBeGreaterThan(5);
  expect(rows.filter((row) => !page.includes(row.replaceAll(/ +/g, ' ')))).toEqual([]);
  expect(Object.keys(failureTable).filter((kind) => !page.includes(`\`${kind}\``))).toEqual([]);
});

const nextWords: Readonly<Record<FailureFacts['next'], string>> = {
  end: 'the end',
  longer: 'a longer model',
  lenient: 'a lenient model',
  instance: 'another instance',
  again: 'another, or again',
};

test('the page about routing has every kind of failure with what follows from it', () => {
  const page = readPage('routing');
  const rows = Object.entries<FailureFacts>(failureTable).map(
    ([kind, { next, instance, code }]) => [kind, `| ${nextWords[next]} | ${instance} | \`${code}\` |`] as const,
  );
  const isThere = ([kind, rest]: (typeof rows)[number]): boolean =>
    page.split('\n').some((line) => line.startsWith(`| \`${kind}\` |`) && line.endsWith(rest));
  expect(rows.filter((row) => !isThere(row))).toEqual([]);
});

test.each(['en', 'ar'])('the page about routing (%s) has every strategy and every rehearsal', (language) => {
  const page = readPage('routing', language);
  const rehearsals = filesOf('examples/rehearsals/*.yaml').map((path) => basename(path, '.yaml'));
  expect(rehearsals.length).toBeGreaterThan(5);
  expect([...strategyNames, ...rehearsals].filter((name) => !page.includes(`| \`${name}\` |`))).toEqual([]);
});

test('the page about providers has every kind with its address', () => {
  const page = readPage('providers');
  for (const [kind, { baseUrl, needsKey, streamUsage, continuation }] of Object.entries(catalogue)) {
    const place = baseUrl === null ? 'none: give one' : `\`${baseUrl}\``;
    const usage = streamUsage === 'always' ? 'always sent' : 'asked for';
    const facts = [place, needsKey ? 'yes' : 'no', usage, continuation];
    expect(page).toContain(`| \`${kind}\` | ${facts.join(' | ')} |`);
  }
});

interface Schema {
  readonly default?: unknown;
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
}

/** Every key below a schema by its path, `*` for any name. */
function* keysOf(schema: Schema, path = ''): Generator<readonly [path: string, schema: Schema]> {
  for (const branch of schema.anyOf ?? []) yield* keysOf(branch, path);
  if (schema.items !== undefined) yield* keysOf(schema.items, `${path}[]`);
  if (schema.additionalProperties) yield* keysOf(schema.additionalProperties, `${path}.*`);
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    const own = path === '' ? key : `${path}.${key}`;
    yield [own, inner];
    yield* keysOf(inner, own);
  }
}

const configKeys = [...keysOf(configJsonSchema())];

test('the page about configuration has every key with its default', () => {
  const page = readPage('configuration');
  const isExplainedInWords = (path: string): boolean => !path.includes('.') || /\.faults\[\]|\.prices?\./.test(path);
  const keys = configKeys.filter(
    ([path, { properties }]) => path === 'defaultAgent' || (properties === undefined && !isExplainedInWords(path)),
  );
  const cells = keys.map(([path, { default: value }]) => {
    if (value === undefined || value === '') return `\`${path}\``;
    return `| \`${path}\` | \`${typeof value === 'string' ? value : JSON.stringify(value)}\` |`;
  });
  expect(cells.length).toBeGreaterThan(30);
  expect(cells.filter((cell) => !page.includes(cell))).toEqual([]);
});

test('the page about providers has every fault with its settings', () => {
  const page = readPage('providers');
  const faults = configKeys
    .filter(([path]) => path.endsWith('.faults[].kind'))
    .map(([, schema]) => String(schema.const));
  expect(faults.length).toBeGreaterThan(5);
  expect(faults.filter((fault) => !page.includes(`| \`${fault}\` |`))).toEqual([]);
  const settings = configKeys
    .map(([path]) => /\.faults\[\]\.(\w+)$/.exec(path)?.[1])
    .filter((name) => name !== undefined);
  expect(settings.filter((name) => name !== 'kind' && !page.includes(`\`${name}\``))).toEqual([]);
});

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('every link between pages leads somewhere', () => {
  const pages = filesOf('{*,docs/**/*}.md');
  expect(pages).toContain('README.md');
  const broken: string[] = [];
  for (const page of pages) {
    for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : join(page, '..', path);
      const isThere = existsSync(join(root, file)) && (anchor === undefined || anchorsOf(read(file)).includes(anchor));
      if (!isThere) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test('the Arabic pages hold the same commands as the English ones', () => {
  const blocksOf = (path: string): string[] =>
    [...read(path).matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text);
  expect(blocksOf('README.ar.md')).toEqual(blocksOf('README.md'));
});
