/** One operation to time. It returns something of what it made, so that none of it can be optimised away. */
export interface Micro {
  readonly name: string;
  readonly run: () => unknown;
}

const passMs = 100;
const passes = 7;

/** Where results go, so that they are seen to be used. */
let sink: unknown;

/** Nanoseconds per operation: the best of several passes, the one that was disturbed the least. */
function nanosPerRun({ run }: Micro): number {
  let times = 1;
  let best = Number.POSITIVE_INFINITY;
  for (let pass = 0; pass < passes;) {
    const begun = performance.now();
    for (let i = 0; i < times; i++) sink = run();
    const tookMs = performance.now() - begun;
    if (tookMs < passMs / 2) {
      times *= 2;
      continue;
    }
    best = Math.min(best, (tookMs * 1e6) / times);
    pass++;
  }
  return best;
}

/** Times all of them and prints a Markdown table; only those whose name contains `filter`. */
export function report(micros: readonly Micro[], filter = ''): void {
  process.stdout.write('| operation | ns |\n| --- | ---: |\n');
  for (const micro of micros) {
    if (!micro.name.includes(filter)) continue;
    const nanos = nanosPerRun(micro);
    process.stdout.write(`| ${micro.name} | ${nanos.toFixed(nanos < 100 ? 1 : 0)} |\n`);
  }
  if (sink === process) throw new Error('This never happens, but the compiler cannot know.');
}
