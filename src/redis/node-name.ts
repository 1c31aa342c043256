import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../core/errors.ts';

const form = /^[0-9a-f]{16}$/;

/**
 * What a data folder is called among the machines that share a Redis; made once, and kept in the folder.
 * @throws SetupError where it can't be kept.
 */
export function nodeName(folder: string): string {
  const file = join(folder, 'node-name');
  try {
    const found = read(file);
    if (found !== null) return found;
    // Of two that begin at once, the second takes the first one's.
    writeFileSync(file, randomBytes(8).toString('hex'), { flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
      throw new SetupError(`${file} can't be written`, error);
    }
  }
  return read(file) ?? randomBytes(8).toString('hex');
}

function read(file: string): string | null {
  try {
    const name = readFileSync(file, 'utf8').trim();
    return form.test(name) ? name : null;
  } catch {
    return null;
  }
}
