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
