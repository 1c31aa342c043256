import { writeFileSync } from 'node:fs';
import { cacheMemory, cacheReport } from './cache-resident.ts';
import { measure, phases, planOf, warmUp } from './measure.ts';
import { readOptions, usage, UsageError } from './options.ts';
import type { Options } from './options.ts';
import { report } from './report.ts';
import { Row } from './row.ts';
import { say, Stage } from './stage.ts';
import { busyProcessors, machine } from './system/machine.ts';

/** Every second round goes the other way round, so that nobody always follows the same neighbour. */
async function measureRound({ rows, load }: Stage, round: number, options: Options): Promise<void> {
  const order = round % 2 === 0 ? rows : rows.toReversed();
  for (const phase of phases) {
    const plan = planOf(phase, options);
    if (plan.requests === 0) continue;
    say(`round ${round + 1} of ${options.rounds}: ${phase}`);
    for (const row of order) {
      if (row.running !== null) row.samples[phase].push(await measure(row.running, load, plan));
    }
  }
}

/** @returns whether Mizan took part wherever it was asked to, and every answer was right. */
async function bench(options: Options): Promise<boolean> {
  const busy = busyProcessors();
  if (busy > 0.5) say(`the machine is busy with other work (load average ${busy.toFixed(1)}): expect high figures`);
  using stage = await Stage.setUp();
  const { rows, load } = stage;
  for (const contestant of options.contestants) {
    const { running } = await stage.open(contestant, options.starts);
    if (running !== null) await warmUp(running, load, options);
  }
  for (let round = 0; round < options.rounds; round++) await measureRound(stage, round, options);
  for (const row of rows) await row.close();
  const direct = rows.find(({ name }) => name === 'direct') ?? new Row('direct');
  process.stdout.write(report(rows, direct, { ...options, busy }));
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ machine: machine(), busy, options, rows }, null, 2)}\n`);
  }
  if (options.distinct > 0) {
    say(`${options.distinct} distinct requests without a cache, and with one`);
    process.stdout.write(`\n${cacheReport(await cacheMemory(options.distinct))}`);
  }
  const isAbsent = ({ name, unavailable }: Row): boolean => unavailable !== null && name.startsWith('mizan');
  return rows.every((row) => row.faults === null && !isAbsent(row));
}

async function main(): Promise<number> {
  if (process.platform !== 'linux') {
    say('processor time and memory are read from /proc: this needs Linux');
    return 2;
  }
  try {
    const options = readOptions(process.argv.slice(2));
    if (options !== null) return (await bench(options)) ? 0 : 1;
    process.stdout.write(usage);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    say(`${error.message}\n${usage}`);
    return 2;
  }
}

process.exitCode = await main();
