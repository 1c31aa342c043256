import { goals } from './goals.ts';
import type { Options } from './options.ts';
import type { Row } from './row.ts';
import { machine } from './system/machine.ts';

function number(value: number, digits = 0): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}

/** Milliseconds, shown in µs. */
function micros(ms: number): string {
  return number(ms * 1000);
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '–' : number(bytes / 1e6);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = line(head.map((_, i) => (i === 0 ? '---' : '---:')));
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function requestCells(row: Row, direct: Row): string[] {
  const added = (phase: 'single' | 'load', of: 'p50' | 'p99'): number =>
    row.against(direct, phase, (mine, theirs) => mine[of] - theirs[of]);
  const isDirect = row === direct;
  return [
    row.name,
    isDirect
      ? '–'
      : number(
          row.figure('load', ({ cpuMicros }) => cpuMicros),
          1,
        ),
    number(row.figure('load', ({ perSecond }) => perSecond)),
    isDirect ? `(${micros(row.figure('single', ({ p50 }) => p50))})` : micros(added('single', 'p50')),
    isDirect ? `(${micros(row.figure('single', ({ p99 }) => p99))})` : micros(added('single', 'p99')),
    isDirect
      ? `(${number(
          row.figure('load', ({ p50 }) => p50),
          2,
        )})`
      : number(added('load', 'p50'), 2),
    isDirect
      ? `(${number(
          row.figure('load', ({ p99 }) => p99),
          2,
        )})`
      : number(added('load', 'p99'), 2),
    megabytes(row.memoryAtStart?.now),
    megabytes(row.memoryAfter?.now),
    megabytes(row.memoryAfter?.peak),
    isDirect ? '–' : number(row.coldStartMs),
  ];
}

const requestHead = [
  'gateway',
  'CPU µs/request',
  'requests/s',
  'added p50, µs, 1 conn.',
  'added p99, µs, 1 conn.',
  'added p50, ms, loaded',
  'added p99, ms, loaded',
  'RSS start, MB',
  'RSS after, MB',
  'RSS peak, MB',
  'cold start, ms',
];

function streamCells(row: Row, direct: Row): string[] {
  const isDirect = row === direct;
  const added = (of: 'firstByteP50' | 'firstByteP99'): string =>
    isDirect
      ? `(${number(
          row.figure('paced', (sample) => sample[of]),
          2,
        )})`
      : number(
          row.against(direct, 'paced', (mine, theirs) => mine[of] - theirs[of]),
          2,
        );
  return [
    row.name,
    isDirect ? '–' : number(row.figure('burst', ({ cpuMicros }) => cpuMicros)),
    number(row.figure('burst', ({ perSecond }) => perSecond)),
    isDirect ? '–' : number(row.figure('paced', ({ cpuMicros }) => cpuMicros)),
    added('firstByteP50'),
    added('firstByteP99'),
  ];
}

const streamHead = [
  'gateway',
  'CPU µs/stream, at once',
  'streams/s, at once',
  'CPU µs/stream, paced',
  'added first token p50, ms',
  'added first token p99, ms',
];

/** The whole run as Markdown. */
export function report(rows: readonly Row[], direct: Row, options: Options & { readonly busy: number }): string {
  const present = rows.filter(({ unavailable }) => unavailable === null);
  const { rounds, requests, connections, streams, concurrency, paceMs, busy } = options;
  const parts = [
    `${machine()}. Medians of ${rounds} interleaved rounds; in brackets: direct's own times.` +
      ` Load average before: ${busy.toFixed(1)}.`,
    `**${requests} requests a round**, 1 KiB in, 0.7 KB out, ${connections} connections:`,
    table(
      requestHead,
      present.map((row) => requestCells(row, direct)),
    ),
  ];
  if (streams > 0) {
    parts.push(
      `**${streams} streams a round** of 50 chunks: at once on ${connections} connections; ` +
        `paced at ${paceMs} ms a chunk, ${concurrency} at one time:`,
      table(
        streamHead,
        present.map((row) => streamCells(row, direct)),
      ),
    );
  }
  const reached = goals(rows, direct);
  if (reached.length > 0) {
    const cells = reached.map(({ figure, goal, measured, isReached }) => [
      figure,
      goal,
      measured,
      isReached ? 'yes' : '**no**',
    ]);
    parts.push('**Goals:**', table(['figure', 'goal', 'measured', 'reached'], cells));
  }
  for (const row of rows) {
    if (row.unavailable !== null) parts.push(`**${row.name}** did not take part: ${row.unavailable}`);
    const faults = row.faults;
    if (faults)
      parts.push(`**${row.name}** answered ${faults.wrong} of ${faults.of} wrongly; the first: ${faults.first}`);
  }
  return `${parts.join('\n\n')}\n`;
}
