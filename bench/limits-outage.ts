import { setTimeout as wait } from 'node:timers/promises';
import type { LimitsStage } from './limits-stage.ts';
import { limitsStage, mostInAMinute } from './limits-stage.ts';

// node bench/limits-outage.ts [redis|crash]
//
// redis: 60 requests a minute and a budget over two processes, while Redis is killed for 15 s, comes back empty, and
// says nothing for 2 s. Prints what was let in beside what the documentation says may be.
// crash: kill -9 of a process that holds all of a budget by a hundred requests. Prints when the other one has it.

const trials = { redis: outage, crash };

/** Of ten a second, so long, in ms; and what happens to Redis when: while there is room, and when there is room again. */
const lengthMs = 75_000;
const events = [
  { at: 3000, what: 'killed', do: (stage: LimitsStage) => stage.redis.stop() },
  { at: 18_000, what: 'started, empty', do: (stage: LimitsStage) => stage.redis.start() },
  { at: 61_500, what: 'silent', do: async (stage: LimitsStage) => stage.redis.stall() },
  { at: 63_500, what: 'heard again', do: async (stage: LimitsStage) => stage.redis.resume() },
] as const;

interface Tried {
  readonly at: number;
  readonly status: number;
}

async function outage(): Promise<void> {
  for (const { name, rules, limit } of [
    { name: '60 requests a minute', rules: { limits: { all: { rpm: 60 } } }, limit: 60 },
    { name: 'a budget of 640 requests', rules: { budgets: { all: { usd: 640, per: 'total' } } }, limit: 640 },
  ]) {
    const stage = await limitsStage(rules);
    try {
      await wait(2000);
      const tried = await load(stage);
      const times = tried.filter(({ status }) => status === 200).map(({ at }) => at);
      const isByMinute = 'limits' in rules;
      const total = isByMinute ? mostInAMinute(times) : times.length;
      // Of a budget: what one of them was let in within the second in which the other did not hear of it.
      const slack = isByMinute ? limit / 2 : 5;
      say(`${name}: ${isByMinute ? 'at the most in any minute' : 'in total'} ${total}, of ${limit} + ${slack}`);
      say(`  by status: ${JSON.stringify(Object.fromEntries(countBy(tried)))}`);
      for (const [i, { what, at }] of events.entries()) {
        const next = events[i + 1]?.at ?? lengthMs;
        const until = tried.filter((each) => each.at >= at && each.at < next);
        say(`  after Redis was ${what}: ${JSON.stringify(Object.fromEntries(countBy(until)))} of ${until.length}`);
      }
      if (!isByMinute) say(`  ${[0, 1].map((i) => stage.command(i, 'budgets', 'list').split('\n')[1]).join('\n  ')}`);
    } finally {
      await stage.end();
    }
  }
}

async function load(stage: LimitsStage): Promise<Tried[]> {
  const tried: Promise<Tried>[] = [];
  const begun = performance.now();
  let next = 0;
  for (let i = 0; i < lengthMs / 100; i++) {
    await wait(Math.max(0, begun + i * 100 - performance.now()));
    const at = performance.now() - begun;
    const event = events[next];
    if (event !== undefined && at >= event.at) {
      next++;
      void event.do(stage);
    }
    tried.push(stage.chat(i % 2, 'quick').then((status) => ({ at, status })));
  }
  return Promise.all(tried);
}

async function crash(): Promise<void> {
  const stage = await limitsStage({ budgets: { all: { usd: 109, per: 'total' } } });
  try {
    await wait(2000);
    let spent = 0;
    for (let i = 0; i < 9; i++) spent += (await stage.chat(i % 2, 'quick')) === 200 ? 1 : 0;
    const held = Array.from({ length: 100 }, () => stage.chat(0, 'never'));
    while ((await stage.chat(1, 'quick')) !== 402) await wait(100);
    await stage.machines[0]?.kill('SIGKILL');
    const killedAt = performance.now();
    await Promise.all(held);
    let first: number | null = null;
    let admitted = 0;
    for (let refused = 0; performance.now() - killedAt < 60_000 && refused < 600;) {
      const status = await stage.chat(1, 'quick');
      if (status === 200) {
        first ??= performance.now() - killedAt;
        admitted++;
        refused = 0;
      } else refused++;
      if (status !== 200) await wait(100);
      if (spent + admitted >= 120) break;
    }
    say(`paid before: ${spent}; held by 100 requests of the one that was killed: 100`);
    say(`given back ${((first ?? NaN) / 1000).toFixed(1)} s after it; let in then: ${admitted}`);
    for (const i of [0, 1]) {
      say(`machine ${i}: ${stage.command(i, 'budgets', 'list').split('\n')[1]}`);
      say(`  ${stage.command(i, 'budgets', 'check', '--json').replaceAll(/\s+/g, ' ')}`);
    }
  } finally {
    await stage.end();
  }
}

function countBy(tried: readonly Tried[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { status } of tried) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const wanted = process.argv[2];
for (const [name, trial] of Object.entries(trials)) if (wanted === undefined || wanted === name) await trial();
