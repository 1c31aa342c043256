import { expect, test } from 'vitest';
import { readConfig } from './load.ts';
import { notesOn } from './notes.ts';

test('a fallback that is no model is named, with the nearest, and keeps nothing from working', () => {
  const text = 'models: { fast: { fallbacks: [slwo, slow] }, slow: { fallbacks: { contextLength: [long] } } }';
  expect(readConfig({ name: 'f', text }, {}).notes).toEqual([
    'models.fast.fallbacks names "slwo", and there is no such model. Did you mean "slow"?',
    'models.slow.fallbacks names "long", and there is no such model.',
  ]);
});

test('a time that is past is noted, and keeps nothing from starting: the job may have run', () => {
  const text = `schedule:
  timezone: Asia/Riyadh
  jobs:
    old: { type: cache-cleanup, at: '2001-01-01T18:00' }
    off: { type: cache-cleanup, at: '2001-01-01T18:00', enabled: false }
    new: { type: cache-cleanup, at: '2999-01-01T18:00' }
    often: { type: cache-cleanup, every: 1h }`;
  const { notes, schedule } = readConfig({ name: 'f', text }, {});
  expect(notes).toEqual([
    'schedule.jobs.old.at is past (2001-01-01T18:00): the job runs no more, unless it was due while Mizan was down. ' +
      'Remove it, or name a time to come.',
  ]);
  expect(schedule.jobs.map(({ name }) => name)).toContain('old');
});

test('whether a time is past is seen on the clock of its time zone', () => {
  const tree = { schedule: { jobs: { x: { type: 'backup', at: '2026-01-01T12:00', timezone: 'Asia/Riyadh' } } } };
  const noon = Date.UTC(2026, 0, 1, 9);
  expect(notesOn(tree, noon - 1)).toEqual([]);
  expect(notesOn(tree, noon)).toHaveLength(1);
});
