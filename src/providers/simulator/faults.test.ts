import { expect, test } from 'vitest';
import { MizanError } from '../../core/errors.ts';
import { seededRandom } from '../../core/random.ts';
import { faultSchema, parseFaults, strike, type Fault } from './faults.ts';
import { simulatorOptionsSchema } from './options.ts';

const specs: [spec: string, faults: Fault[]][] = [
  ['cut; after=3; rate=0.5', [{ kind: 'cut', after: 3, byte: 0, rate: 0.5 }]],
  ['cut;after=0;byte=7', [{ kind: 'cut', after: 0, byte: 7, rate: 1 }]],
  ['status', [{ kind: 'status', code: 503, rate: 1 }]],
  ['status; code=429; retryAfter=2', [{ kind: 'status', code: 429, retryAfter: 2, rate: 1 }]],
  ['refuse', [{ kind: 'refuse', rate: 1 }]],
  [' reset ; rate = 0 ', [{ kind: 'reset', rate: 0 }]],
  ['slow-headers; ms=12.5', [{ kind: 'slow-headers', ms: 12.5, rate: 1 }]],
  ['stall; after=2', [{ kind: 'stall', after: 2, rate: 1 }]],
  ['garbage', [{ kind: 'garbage', rate: 1 }]],
  ['error-event; after=1', [{ kind: 'error-event', after: 1, rate: 1 }]],
  ['no-terminator', [{ kind: 'no-terminator', rate: 1 }]],
  [
    'slow-headers; ms=5, cut; after=1',
    [
      { kind: 'slow-headers', ms: 5, rate: 1 },
      { kind: 'cut', after: 1, byte: 0, rate: 1 },
    ],
  ],
];

test.each(specs)('the fault %j is understood', (spec, faults) => {
  expect(parseFaults(spec)).toEqual(faults);
  for (const fault of faults) expect(faultSchema.parse(fault)).toEqual(fault);
});

const wrong: [spec: string, expected: string][] = [
  ['', '"" is not a fault: expected one of status, refuse'],
  ['cutt', 'Did you mean "cut"?'],
  ['toString', 'expected one of status'],
  ['cut; after', 'Expected for example "cut; after=3; rate=0.5".'],
  ['cut; after=-1', 'not a setting with a number'],
  ['cut; after=1.5', 'expected a whole number of tokens from 0 to 1000000'],
  ['cut; after=1; after=2', '"after" is set twice'],
  ['cut; kind=1', '"kind" is set twice'],
  ['stall; byte=3', 'The fault "stall" has no setting "byte": expected after, rate.'],
  ['status; code=200', 'expected an HTTP status from 400 to 599'],
  ['cut; rate=2', 'expected a share from 0 to 1'],
  ['cut,', 'expected one of status'],
];

test.each(wrong)('of the fault %j it is said what was expected', (spec, expected) => {
  expect(() => parseFaults(spec)).toThrow(MizanError);
  expect(() => parseFaults(spec)).toThrow(expected);
});

test('in the configuration an unknown kind is told apart from a wrong setting', () => {
  const messageOf = (fault: object): string | undefined => faultSchema.safeParse(fault).error?.issues[0]?.message;
  expect(messageOf({ kind: 'cutt' })).toBe(
    'expected one of status, refuse, reset, slow-headers, stall, cut, garbage, error-event, no-terminator',
  );
  expect(messageOf({ kind: 'cut', after: 'x' })).toBe('expected a whole number of tokens from 0 to 1000000');
  expect(messageOf({ kind: 'cut', befor: 1 })).toContain('befor');
});

test('the options have defaults for everything and take nothing unknown', () => {
  expect(simulatorOptionsSchema.parse({})).toEqual({ latencyMs: 0, tokensPerSecond: 0, faults: [], seed: 0 });
  expect(simulatorOptionsSchema.safeParse({ latency: 1 }).success).toBe(false);
  expect(simulatorOptionsSchema.safeParse({ latencyMs: -1 }).success).toBe(false);
});

test('a fault strikes at its rate, whatever the other rates are', () => {
  const often = (others: Fault[]): number => {
    const random = seededRandom(7);
    const faults = [...others, { kind: 'refuse', rate: 0.25 } as const];
    let struck = 0;
    for (let i = 0; i < 10_000; i++) if (strike(faults, random).some(({ kind }) => kind === 'refuse')) struck++;
    return struck;
  };
  expect(often([])).toBeGreaterThan(2300);
  expect(often([])).toBeLessThan(2700);
  expect(often([{ kind: 'garbage', rate: 0 }])).toBe(often([{ kind: 'garbage', rate: 1 }]));
});

test('a rate of 1 always strikes and a rate of 0 never', () => {
  const faults: Fault[] = [
    { kind: 'refuse', rate: 0 },
    { kind: 'reset', rate: 1 },
  ];
  for (const random of [() => 0, () => 1 - Number.EPSILON]) expect(strike(faults, random)).toEqual([faults[1]]);
});
