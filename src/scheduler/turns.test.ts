import { expect, test } from 'vitest';
import type { JobRun } from '../core/jobs.ts';
import { Turns } from './turns.ts';

/** Runs that wait, such as `acme/report`: a tenant and a job. */
const waiting = (...names: string[]): JobRun[] =>
  names.map((name, i) => ({ id: `run_${i}`, tenant: name.split('/')[0] ?? '', job: name }) as unknown as JobRun);
const names = (runs: readonly JobRun[]): string[] => runs.map(({ job }) => job);

test('tenants take turns, and so do the jobs of each', () => {
  const runs = waiting('a/1', 'a/1', 'a/1', 'a/2', 'b/1', 'b/1', 'c/1');
  expect(names(new Turns().order(runs))).toEqual(['a/1', 'b/1', 'c/1', 'a/2', 'b/1', 'a/1', 'a/1']);
});

test('of each job they begin as they come', () => {
  const runs = waiting('a/1', 'b/1', 'a/1', 'b/1');
  expect(new Turns().order(runs).map(({ id }) => id)).toEqual(['run_0', 'run_1', 'run_2', 'run_3']);
});

test('whoever had its last turn longest ago is first, and who never had one before that', () => {
  const turns = new Turns();
  const [a1, a2, b1] = waiting('a/1', 'a/2', 'b/1') as [JobRun, JobRun, JobRun];
  for (const run of [a1, b1, a2]) turns.began(run);
  expect(names(turns.order(waiting('a/1', 'a/2', 'a/3', 'b/1', 'c/1')))).toEqual(['c/1', 'b/1', 'a/3', 'a/1', 'a/2']);
});

test('one job that always waits leaves every other turn to another that comes', () => {
  const turns = new Turns();
  const begun: string[] = [];
  for (let i = 0; i < 6; i++) {
    const [next] = turns.order(waiting('a/1', 'a/1', 'a/1', 'b/1')) as [JobRun];
    turns.began(next);
    begun.push(next.job);
  }
  expect(begun).toEqual(['a/1', 'b/1', 'a/1', 'b/1', 'a/1', 'b/1']);
});
