/**
 * Makes what the Dockerfile makes, without an engine: `node scripts/image.ts FOLDER`. Each stage's files come to lie in a
 * folder below FOLDER, by its name or number, from nothing but what `.dockerignore` lets through; npm's steps are run
 * there. The path of the last stage's files is printed.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Where to? node scripts/image.ts FOLDER');

interface Stage {
  readonly name: string;
  /** Where its files lie here. */
  readonly files: string;
  /** The folder in the image that relative paths start from. */
  workdir: string;
}

const stages: Stage[] = [];

for (const [instruction, rest] of instructions()) {
  const stage = stages.at(-1);
  if (instruction === 'FROM') {
    const name = / AS (\S+)$/i.exec(rest)?.[1] ?? String(stages.length);
    stages.push({ name, files: path.join(path.resolve(folder), name), workdir: '/' });
  } else if (stage !== undefined && instruction === 'WORKDIR') {
    stage.workdir = path.posix.resolve(stage.workdir, rest);
    mkdirSync(path.join(stage.files, stage.workdir), { recursive: true });
  } else if (stage !== undefined && instruction === 'COPY') {
    copy(stage, rest.split(/\s+/));
  } else if (stage !== undefined && instruction === 'RUN' && rest.startsWith('npm ')) {
    const [program = '', ...args] = rest.split(/\s+/);
    // By the Node that the image has, and what was fetched for the clone isn't fetched again.
    const PATH = `${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
    const env = { ...process.env, PATH, npm_config_prefer_offline: 'true' };
    execFileSync(program, args, { cwd: path.join(stage.files, stage.workdir), stdio: ['ignore', 2, 2], env });
  }
}

const last = stages.at(-1);
if (last === undefined) throw new Error('The Dockerfile has no stage.');
process.stdout.write(`${path.join(last.files, last.workdir)}\n`);

/** The Dockerfile's, without comments, continued lines joined. */
function instructions(): (readonly [instruction: string, rest: string])[] {
  const text = readFileSync(path.join(root, 'Dockerfile'), 'utf8').replaceAll(/^#.*\n/gm, '');
  return text
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .flatMap((line) => {
      const [, instruction, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      return instruction === undefined || rest === undefined ? [] : [[instruction, rest.trim()] as const];
    });
}

function copy(stage: Stage, words: readonly string[]): void {
  const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
  const names = words.filter((word) => !word.startsWith('--'));
  const to = names.pop() ?? '.';
  const source = stages.find(({ name }) => name === from)?.files ?? root;
  for (const name of names) {
    const file = path.join(source, name);
    if (!existsSync(file)) throw new Error(`COPY ${words.join(' ')}: there is no ${name}.`);
    if (source === root && isIgnored(name))
      throw new Error(`COPY ${words.join(' ')}: .dockerignore keeps ${name} back.`);
    const intoFolder = to === '.' || to.endsWith('/') || names.length > 1;
    const target = path.join(
      stage.files,
      path.posix.resolve(stage.workdir, to),
      intoFolder && !isFolder(file) ? path.basename(name) : '',
    );
    cpSync(file, target, {
      recursive: true,
      filter: (each) => source !== root || isFolder(each) || !isIgnored(path.relative(root, each)),
    });
  }
}

function isFolder(file: string): boolean {
  return statSync(file).isDirectory();
}

/** By `.dockerignore`: the last of its patterns that matches the path, or a folder on the way to it, decides. */
function isIgnored(name: string): boolean {
  const parts = name.split('/');
  const ways = parts.map((_part, i) => parts.slice(0, i + 1).join('/'));
  const patterns = readFileSync(path.join(root, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const decisive = patterns.findLast((pattern) => ways.some((way) => path.matchesGlob(way, pattern.replace(/^!/, ''))));
  return decisive !== undefined && !decisive.startsWith('!');
}
