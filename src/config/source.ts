import { isUtf8 } from 'node:buffer';
import { closeSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';
import { variableOf } from './expand.ts';
import type { Environment } from './expand.ts';
import { ConfigError } from './problem.ts';

/** In bytes. */
const maxFileSize = 1_048_576;

/** A configuration file as text, and how it was named. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'expected a file, found a folder',
  EACCES: 'this file may not be read (permission denied)',
  EPERM: 'this file may not be read (operation not permitted)',
};

function fail(name: string, message: string): never {
  throw new ConfigError([{ source: name, line: null, column: null, path: '', message }]);
}

/** Reads at most one byte more than allowed: pipes and devices don't say how long they are. */
function readBytes(file: string): Buffer {
  const bytes = Buffer.alloc(maxFileSize + 1);
  const descriptor = openSync(file, 'r');
  try {
    let length = 0;
    for (;;) {
      const count = readSync(descriptor, bytes, length, bytes.length - length, null);
      length += count;
      if (count === 0 || length === bytes.length) return bytes.subarray(0, length);
    }
  } finally {
    closeSync(descriptor);
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
}

function readSource(name: string, hint: string, cwd: string): Source {
  let bytes: Buffer;
  try {
    bytes = readBytes(resolve(cwd, name));
  } catch (cause) {
    const code = codeOf(cause);
    return fail(name, `${reasons[code] ?? `this file cannot be read (${code})`}${hint}`);
  }
  if (bytes.length > maxFileSize) fail(name, 'expected at most 1 MiB');
  if (!isUtf8(bytes)) fail(name, `expected UTF-8; the file has other bytes in line ${lineOfBadByte(bytes)}`);
  return { name, text: bytes.toString('utf8') };
}

/** Lines end where they would in UTF-8: the first line that isn't UTF-8 by itself. */
function lineOfBadByte(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, start);
    if (!isUtf8(bytes.subarray(start, end === -1 ? bytes.length : end))) return line;
    start = end === -1 ? bytes.length : end + 1;
  }
  return line;
}

/**
 * The file to read: `file`, else what `MIZAN_CONFIG` names, else `./mizan.yaml` if there is one, else `null`.
 * @throws ConfigError if it cannot be read.
 */
export function findSource(file: string | undefined, env: Environment, cwd: string): Source | null {
  if (file !== undefined) return readSource(file, '', cwd);
  const named = variableOf(env, 'MIZAN_CONFIG');
  if (named !== undefined && named !== '') return readSource(named, '; MIZAN_CONFIG names it', cwd);
  try {
    closeSync(openSync(resolve(cwd, 'mizan.yaml'), 'r'));
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null;
  }
  return readSource('mizan.yaml', '', cwd);
}
