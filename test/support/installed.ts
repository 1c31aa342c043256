import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

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

/**
 * Installs a package of Debian, where that may be done, and looks again.
 * @param missing What is said where it may not, or does not help.
 */
export function installed(name: string, missing: string, find: () => string | null): string {
  if (process.getuid?.() !== 0) throw new Error(missing);
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
