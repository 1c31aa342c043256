import { parseArgs } from 'node:util';
import { clocks } from './jobs-trial/clocks.ts';
import { effects, lateness } from './jobs-trial/effects.ts';
import { idle } from './jobs-trial/idle.ts';
import { kills } from './jobs-trial/kills.ts';
import { move } from './jobs-trial/move.ts';
import type { TrialOptions } from './jobs-trial/stage.ts';
import { stores } from './jobs-trial/stage.ts';
import { takeover } from './jobs-trial/takeover.ts';

// What takes too long for a test, with figures on stdout. It starts the real program.
const usage = `node scripts/jobs-trial.ts WHAT [--database URL|own] [--redis URL|own] [--processes 2] [--jobs 10000] [--kills 20] [--only NAME] [--speed 10]
  effects   1,000 due times; one scheduler stopped for 90 s in the middle of runs and continued, one killed
  kills     kill -9, twenty times, in the middle of backups
  takeover  kill -9 in the middle of runs: after how long others go on with them
  move      from the local driver to BullMQ and back, while runs go on, wait and are to be tried again
  lateness  how late runs begin where nothing goes wrong; measure it on an idle machine
  idle      what a schedule costs while nothing is due
  clocks    both edges of daylight saving in five zones, jumps and a long sleep, by libfaketime (Debian: faketime)
--database: SQLite where nothing is said, "own" for a PostgreSQL that is started for the trial; likewise --redis.
`;

const trials: Readonly<Record<string, (options: TrialOptions) => Promise<object>>> = {
  effects,
  kills,
  takeover,
  move,
  lateness,
  idle,
  clocks,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    database: { type: 'string' },
    redis: { type: 'string' },
    processes: { type: 'string', default: '2' },
    jobs: { type: 'string', default: '10000' },
    kills: { type: 'string', default: '20' },
    only: { type: 'string' },
    speed: { type: 'string', default: '10' },
  },
});
const trial = trials[positionals[0] ?? ''];
if (trial === undefined) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  const place = await stores(values);
  try {
    const { processes, jobs, kills: count, only, speed } = values;
    const figures = await trial({
      services: await place.services(),
      others: place.services,
      processes: Number(processes),
      jobs: Number(jobs),
      kills: Number(count),
      only,
      speed: Number(speed),
    });
    process.stdout.write(`${JSON.stringify({ trial: positionals[0], ...figures }, null, 2)}\n`);
  } finally {
    await place.end();
  }
}
