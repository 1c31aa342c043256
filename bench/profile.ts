import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { contestants } from './contestants/index.ts';
import type { Contestant } from './contestants/contestant.ts';
import { measure, phases, planOf } from './measure.ts';
import { readOptions, whole } from './options.ts';
import { say, Stage } from './stage.ts';

// Where a gateway on Node spends its time under load: self time per function and per package, from V8's own profiler.

interface Profile {
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  /** In µs on the system's monotonic clock. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const flags = {
  gateway: { type: 'string', default: 'mizan' },
  phase: { type: 'string', default: 'load' },
  requests: { type: 'string' },
  top: { type: 'string' },
} as const;

/** The same contestant with V8's profiler on; it writes what it saw to `dir` as the process ends. */
function profiled(contestant: Contestant, dir: string): Contestant {
  return {
    name: contestant.name,
    async prepare(site) {
      const { launch, door } = await contestant.prepare(site);
      if (launch?.command !== process.execPath) throw new Error('Only gateways on Node can be profiled.');
      return { launch: { ...launch, args: ['--cpu-prof', `--cpu-prof-dir=${dir}`, ...launch.args] }, door };
    },
  };
}

function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** µs of self time between two moments by what `nameOf` says of a function. */
function selfTimes(profile: Profile, between: readonly [number, number], nameOf: NameOf): Map<string, number> {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  let now = profile.startTime;
  for (const [i, sample] of profile.samples.entries()) {
    now += profile.timeDeltas[i] ?? 0;
    if (now < between[0] || now > between[1]) continue;
    const name = names.get(sample) ?? '?';
    times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[i + 1] ?? 0));
  }
  return times;
}

type NameOf = (callFrame: Profile['nodes'][number]['callFrame']) => string;

const functionOf: NameOf = ({ functionName, url, lineNumber }) =>
  url === '' ? functionName : `${functionName || '(anonymous)'} ${shortened(url)}:${lineNumber + 1}`;

const packageOf: NameOf = ({ functionName, url }) => {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/');
  return /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? shortened(url);
};

function shortened(url: string): string {
  return url.replace(/^.*\/node_modules\//, '').replace(/^.*\/(?=(?:src|dist|bin)\/)/, '');
}

function tell(title: string, times: Map<string, number>, requests: number, top: number): void {
  times.delete('(idle)');
  const all = [...times.values()].reduce((sum, time) => sum + time, 0);
  process.stdout.write(`\n| ${title} | µs/request | % |\n| --- | ---: | ---: |\n`);
  for (const [name, time] of [...times].toSorted((a, b) => b[1] - a[1]).slice(0, top)) {
    process.stdout.write(`| ${name} | ${(time / requests).toFixed(2)} | ${((time / all) * 100).toFixed(1)} |\n`);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: flags });
  const contestant = contestants.find(({ name }) => name === values.gateway);
  const phase = phases.find((known) => known === values.phase);
  const options = readOptions(['--requests', values.requests ?? '30000', '--streams', values.requests ?? '3000']);
  if (!contestant || !phase || !options) throw new Error(`--phase is one of ${phases.join(', ')}; see the README.`);

  const dir = mkdtempSync(join(tmpdir(), 'mizan-profile-'));
  try {
    using stage = await Stage.setUp();
    const row = await stage.open(profiled(contestant, dir), 1);
    if (!row.running) return;
    const plan = planOf(phase, options);
    await measure(row.running, stage.load, { ...plan, requests: Math.ceil(plan.requests / 4) });
    const begun = monotonicMicros();
    const sample = await measure(row.running, stage.load, plan);
    const ended = monotonicMicros();
    await row.close();
    const file = readdirSync(dir).find((name) => name.endsWith('.cpuprofile'));
    if (file === undefined) throw new Error(`${row.name} left no profile.`);
    const profile = JSON.parse(readFileSync(join(dir, file), 'utf8')) as Profile;
    say(`${sample.right} right, ${sample.wrong} wrong, ${sample.cpuMicros.toFixed(1)} µs each with the profiler on`);
    const top = whole('top', values.top, 40, [1, 1000]);
    tell('by package or file', selfTimes(profile, [begun, ended], packageOf), sample.right, top);
    tell('by function', selfTimes(profile, [begun, ended], functionOf), sample.right, top);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
