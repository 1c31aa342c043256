import fc from 'fast-check';
import { beforeEach, expect, test, vi } from 'vitest';

const form = /^req_[0-9a-hjkmnp-tv-z]{26}$/;

/** Each test begins as a process of its own. */
let newRequestId: (now: number) => string;
let firstIdAt: (time: number) => string;
let timeOfId: (id: string) => number | null;
beforeEach(async () => {
  vi.resetModules();
  ({ newRequestId, firstIdAt, timeOfId } = await import('./ids.ts'));
});

test('an id is a ULID in lower case, from the first moment on', () => {
  for (const now of [0, 1, Date.UTC(2026, 0, 1), 2 ** 48 - 1]) expect(newRequestId(now)).toMatch(form);
});

test('an id begins with its time, as the example in the ULID specification does', () => {
  expect(newRequestId(1_469_918_176_385).slice(0, 14)).toBe('req_01aryz6s41');
});

test('ids sort by time as text', () => {
  const times = [1, 31, 32, 1000, 1_700_000_000_000, 1_700_000_000_001, 2_000_000_000_000];
  const ids = times.map(newRequestId);
  expect(ids.toSorted()).toStrictEqual(ids);
});

test('ids never step back and never repeat, not even when the clock does', () => {
  const drift = fc.array(fc.oneof(fc.constant(0), fc.constant(1), fc.integer({ min: -1e9, max: 1e9 })), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(drift, (steps) => {
      let now = Date.UTC(2026, 0, 1);
      let last = newRequestId(now);
      for (const step of steps) {
        now += step;
        const id = newRequestId(now);
        expect(id > last).toBe(true);
        expect(id).toMatch(form);
        last = id;
      }
    }),
  );
});

test('ten thousand ids of one millisecond are ten thousand ids in order', () => {
  const ids = Array.from({ length: 10_000 }, () => newRequestId(1_700_000_000_000));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toStrictEqual(ids);
});

test('two processes do not make the same ids', async () => {
  const mine = newRequestId(1_700_000_000_000);
  vi.resetModules();
  const other = await import('./ids.ts');
  expect(other.newRequestId(1_700_000_000_000)).not.toBe(mine);
});

test('an id tells its time again, and so does a bound; other texts have none', () => {
  for (const time of [0, 1, Date.UTC(2026, 0, 1), 2 ** 48 - 1]) {
    expect([timeOfId(newRequestId(time)), timeOfId(firstIdAt(time))]).toEqual([time, time]);
  }
  for (const text of ['', 'req_', 'req_z1m0znhp40', 'req_01m0znhpu0x', 'zzz']) expect(timeOfId(text)).toBe(null);
});
