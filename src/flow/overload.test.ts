import { expect, test } from 'vitest';
import { principal } from '../../test/support/calls.ts';
import { MizanError } from '../core/errors.ts';
import type { Priority } from '../core/priority.ts';
import { priorities } from '../core/priority.ts';
import { Overload } from './overload.ts';

function refusal(overload: Overload, priority: Priority): unknown {
  try {
    overload.check({ ...principal, priority });
    return null;
  } catch (error) {
    return error;
  }
}

/** The classes that are taken after each of these lags, with 100 ms allowed. */
function taken(lags: readonly number[]): string[] {
  const shed: string[] = [];
  const overload = new Overload(100, { shed: (priority) => shed.push(priority), changed() {} });
  return lags.map((lag) => {
    overload.felt(lag);
    return priorities
      .filter((priority) => {
        const error = refusal(overload, priority);
        return (
          error === null || !(error instanceof MizanError && error.code === 'overloaded' && shed.at(-1) === priority)
        );
      })
      .join(' ');
  });
}

const [all, notLow, high, none] = ['low normal high', 'normal high', 'high', ''];

test.each<[lags: number[], taken: (string | undefined)[]]>([
  [
    [0, 99],
    [all, all],
  ],
  [
    [100, 150, 199],
    [notLow, notLow, notLow],
  ],
  [
    [200, 399],
    [high, high],
  ],
  [
    [400, 10_000],
    [none, none],
  ],
  // Worse comes at once, and goes step by step, when it is half of what it was.
  [
    [450, 250, 199, 101, 99, 51, 49, 0],
    [none, none, high, high, notLow, notLow, all, all],
  ],
  [
    [100, 60, 100, 60],
    [notLow, notLow, notLow, notLow],
  ],
])('of lags %j, classes are refused from the lowest: %j', (lags, expected) => {
  expect(taken(lags)).toEqual(expected);
});

test('whoever is refused is told that it is overload, and when to come again', () => {
  const overload = new Overload(100, { shed() {}, changed() {} });
  overload.felt(100);
  expect(refusal(overload, 'low')).toMatchObject({ code: 'overloaded', status: 503, retryAfterMs: 1000 });
});

test('jobs are of the lowest class, whatever their owner is', () => {
  const overload = new Overload(100, { shed() {}, changed() {} });
  overload.felt(100);
  expect(() => overload.check({ ...principal, via: 'job', priority: 'high' })).toThrow(MizanError);
  overload.check(principal);
});
