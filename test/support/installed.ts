import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** The folders of the path. */
export const pathFolders = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');

/** Where a program lies on the path. */
export function onPath(program: string): string | null {
  const folder = pathFolders.find((each) => isExecutable(join(each, program)));
  return folder === undefined ? null : join(folder, program);
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** How long another test file may take to install what it needs, in ms. */
const patienceMs = 300_000;

/**
 * Installs a package of Debian, where that may be done, and looks again. Test files run side by side, and `apt-get` fails
 * where another one runs: so one at a time, and whoever comes later may find that it is done.
 * @param missing What is said where it may not, or does not help.
 */
export function installed(name: string, missing: string, find: () => string | null): string {
  if (process.getuid?.() !== 0) throw new Error(missing);
  const lock = new DatabaseSync(join(tmpdir(), 'mizan-test-install.lock'), { timeout: patienceMs });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return find() ?? installedNow(name, missing, find);
  } finally {
    lock.close();
  }
}

function installedNow(name: string, missing: string, find: () => string | null): string {
  try {
    const run = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const;
    execFileSync('apt-get', ['update'], run);
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', name], run);
  } catch (cause) {
    throw new Error(`${missing} Installing Debian's failed.`, { cause });
  }
  const found = find();
  if (found === null) throw new Error(missing);
  return found;
}
