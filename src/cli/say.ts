import { MizanError, SetupError } from '../core/errors.ts';

/** The most that is read from stdin, in bytes. */
const maxInput = 64 * 1024 * 1024;

/** What is meant for people, and not for the next program in the pipe. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** What the command is asked for. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Rows in columns, for people. The last column may be as long as it likes. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  return [head, ...rows]
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  '))
    .join('\n');
}

/**
 * Everything that comes on stdin.
 * @throws SetupError where it is more than 64 MiB.
 */
export async function input(): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxInput) throw new SetupError('There is more than 64 MiB on stdin.');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** What went wrong, in one line: exit code 2 where it is how the command was called, else 1. Others are thrown again. */
export function sayError(error: unknown): void {
  if (!(error instanceof MizanError)) throw error;
  say(error.message);
  process.exitCode = error.code === 'invalid_request' ? 2 : 1;
}
