import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cronProblem, timetableOf } from '../src/core/schedule.ts';

// What three well-known programs make of the crons of their own tests: a cron, its time zone, a moment, and the due
// times after it, `refused`, `never`, `not` a time, or `-` where they draw lots. Where Mizan differs on purpose, two more
// columns say why, by a name of the table in docs/en/scheduler.md, and what Mizan makes of it.
const programs = ['croner', 'cron-parser', 'robfig'] as const;

interface Case {
  readonly cron: string;
  readonly zone: string;
  readonly from: string;
  readonly theirs: string;
  readonly why: string | undefined;
  readonly ours: string;
}

function casesOf(program: string): Case[] {
  const lines = readFileSync(join(import.meta.dirname, `cron-cases/${program}.tsv`), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => {
    const [cron = '', zone = '', from = '', theirs = '', why, ours = theirs] = line.split('\t');
    return { cron: cron.replaceAll(String.raw`\t`, '\t'), zone, from, theirs, why, ours };
  });
}

function dueTimes({ cron, zone, from, ours }: Case): string {
  const problem = cronProblem(cron);
  if (problem !== undefined) return problem.includes('never') ? 'never' : 'refused';
  const timetable = timetableOf({ kind: 'cron', cron, timezone: zone });
  const times: string[] = [];
  let time = timetable.next(Date.parse(from));
  const wanted = ours.split(' ').filter((each) => /^\d/.test(each)).length;
  for (; time !== null && times.length < wanted; time = timetable.next(time)) {
    times.push(new Date(time).toISOString().replace('.000Z', 'Z'));
  }
  return times.length === 0 ? 'never' : times.join(' ');
}

const said = ({ cron, zone, from }: Case, due: string): string => `${cron} | ${zone} | ${from} | ${due}`;

test.each(programs)('the crons of %s’s tests mean what they mean there, but for what is meant otherwise', (program) => {
  const cases = casesOf(program);
  const other = cases.filter((each) => {
    if (!each.ours.startsWith('not ')) return dueTimes(each) !== each.ours;
    return dueTimes({ ...each, ours: each.from }) === each.ours.slice(4);
  });
  expect(other.map((each) => said(each, dueTimes(each)))).toEqual(other.map((each) => said(each, each.ours)));
  expect(cases.length).toBeGreaterThan(100);
});

test('every difference is one, and the page about the scheduler says why', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/en/scheduler.md'), 'utf8');
  const differing = programs.flatMap(casesOf).filter(({ why }) => why !== undefined);
  expect(differing.filter(({ theirs, ours }) => theirs === ours)).toEqual([]);
  const reasons = new Set(differing.map(({ why }) => why));
  const [, table = ''] = /\n\| Difference [^\n]*\n\|[^\n]*\n((?:\|[^\n]*\n)+)/.exec(page) ?? [];
  const listed = [...table.matchAll(/^\| `([\w-]+)` /gm)].map(([, name]) => name);
  expect(new Set(listed)).toEqual(reasons);
});
