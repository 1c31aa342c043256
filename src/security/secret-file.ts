import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../core/errors.ts';
import { makeFolder } from '../core/folder.ts';
import { Secret } from '../core/secret.ts';

/**
 * The secret kept in `folder/name`; made from 256 random bits, with mode 0600, where there is none. Two processes
 * that start together end up with the same one.
 * @throws SetupError where it can't be read or written.
 */
export function secretFile(folder: string, name: string): Secret<string> {
  const file = join(folder, name);
  try {
    return read(file) ?? make(folder, file);
  } catch (cause) {
    if (cause instanceof SetupError) throw cause;
    throw new SetupError(`The secret ${file} can't be read or made`, cause);
  }
}

const remedy = 'Put a copy of it back; without one, move it aside, and a new one is made.';

function read(file: string): Secret<string> | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  // A crash of the machine may leave a file of its length, and nothing but zeros in it: everybody would know that secret.
  if (/\p{Cc}/u.test(text)) throw new SetupError(`The secret ${file} is no text: it was damaged. ${remedy}`);
  if (text.length < 32) throw new SetupError(`The secret ${file} is shorter than 32 characters. ${remedy}`);
  return new Secret(text);
}

function make(folder: string, file: string): Secret<string> {
  makeFolder(folder);
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(temporary, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx', flush: true });
  try {
    linkSync(temporary, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(temporary);
  }
  const made = read(file);
  if (made === null) throw new SetupError(`The secret ${file} vanished while it was made.`);
  return made;
}
