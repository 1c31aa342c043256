import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { NamedJob } from '../core/jobs.ts';
import { openStore } from '../store/index.ts';
import type { JobEvents } from './contract.ts';
import { Engine } from './engine.ts';
import { jobOf } from './job.suite.ts';

const nothing = (): void => undefined;
const events: JobEvents = {
  started: nothing,
  ended: nothing,
  skipped: nothing,
  missed: nothing,
  unreadable: nothing,
  takenOver: nothing,
  lost: nothing,
  storeFailed: nothing,
  storeRecovered: nothing,
};

const job = jobOf({ type: 'any', overlap: 'allow' });

/** A store of which every answer takes so long, by `clock`, and an engine on it. */
async function slowly(answerMs: number) {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-making-'));
  const store = await openStore({
    folder,
    url: null,
    events: { failed: nothing, recovered: nothing, dropped: nothing, away: nothing, back: nothing },
  });
  onTestFinished(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const clock = new ManualClock();
  const { jobs } = store;
  const create = jobs.create.bind(jobs);
  jobs.create = (run) => {
    clock.advance(answerMs);
    return create(run);
  };
  const type = { name: 'any', run: async () => null, check: (settings: NamedJob['settings']) => settings };
  const engine = new Engine({
    store: jobs,
    types: new Map([['any', type]]),
    clock,
    random: () => 0,
    events,
    mostWaiting: 100,
  });
  return { clock, jobs, engine };
}

test('runs have their turn before all due times are dealt with, where that takes long', async () => {
  const { clock, jobs, engine } = await slowly(600);
  const from = { source: 'config', by: 'test', now: clock.now() } as const;
  for (const name of ['a', 'b', 'c']) await jobs.put({ ...job, name }, from);
  clock.advance(60_000);
  await engine.refresh();
  const open: number[] = [];
  while (await engine.makeDue()) {
    open.push((await jobs.open(clock.now())).length);
    if (open.length === 3) break;
  }
  expect(open).toEqual([1, 2, 3]);
});

test('a clock that was wrong is noticed of every job, though one turn is not enough for all', async () => {
  const { clock, jobs, engine } = await slowly(0);
  const from = { source: 'config', by: 'test', now: clock.now() } as const;
  const advance = jobs.advance.bind(jobs);
  for (const name of ['a', 'b', 'c']) {
    await jobs.put({ ...job, name }, from);
    await advance(name, clock.now() + 3 * 86_400_000);
  }
  jobs.advance = (name, cursor, isBack) => {
    clock.advance(600);
    return advance(name, cursor, isBack);
  };
  clock.advance(5000);
  await engine.refresh();
  for (let turn = 0; turn < 4; turn++) await engine.makeDue();
  const ahead = (await jobs.jobs()).filter(({ cursor }) => cursor > clock.now());
  expect(ahead.map(({ name }) => name)).toEqual([]);
});
