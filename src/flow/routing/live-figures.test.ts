import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultHealth, Health } from './health.ts';
import type { RateLimits } from './live-figures.ts';
import { LiveFigures } from './live-figures.ts';

const minute = 60_000;

function figuresOf(limits: Partial<RateLimits> = {}): LiveFigures {
  return new LiveFigures({ weight: 1, rpm: null, tpm: null, ...limits }, new Health(defaultHealth));
}

describe('the latency', () => {
  const kind = 'stream';

  test('of streams and of whole answers are two figures', () => {
    const figures = figuresOf();
    figures.answeredAfter(100, 'stream', 0);
    expect(figures.latencyMs('answer', 0)).toBe(null);
    figures.answeredAfter(9000, 'answer', 0);
    expect([figures.latencyMs('stream', 0), figures.latencyMs('answer', 0)]).toEqual([100, 9000]);
  });

  test('is not known before the first answer', () => {
    expect(figuresOf().latencyMs(kind, 0)).toBe(null);
  });

  test('jumps up with a slow answer, and comes down little by little with fast ones', () => {
    const figures = figuresOf();
    figures.answeredAfter(100, kind, 0);
    figures.answeredAfter(900, kind, 0);
    expect(figures.latencyMs(kind, 0)).toBe(900);
    figures.answeredAfter(100, kind, 1000);
    const after = figures.latencyMs(kind, 1000);
    expect(after).toBeGreaterThan(700);
    expect(after).toBeLessThan(900);
  });

  test('is forgotten with time: 63 % of it in ten seconds', () => {
    const figures = figuresOf();
    figures.answeredAfter(1000, kind, 0);
    expect(figures.latencyMs(kind, 10_000)).toBeCloseTo(1000 / Math.E);
    expect(figures.latencyMs(kind, 10 * minute)).toBeCloseTo(0);
  });

  test('is never less than the last answer’s, nor more than the slowest', () => {
    const answer = fc.record({ ms: fc.integer({ min: 0, max: 60_000 }), pause: fc.integer({ min: 0, max: minute }) });
    fc.assert(
      fc.property(fc.array(answer, { minLength: 1 }), (answers) => {
        const figures = figuresOf();
        let now = 0;
        for (const { ms, pause } of answers) {
          now += pause;
          figures.answeredAfter(ms, kind, now);
          expect(figures.latencyMs(kind, now)).toBeGreaterThanOrEqual(ms - 1e-6);
        }
        expect(figures.latencyMs(kind, now)).toBeLessThanOrEqual(Math.max(...answers.map(({ ms }) => ms)) + 1e-6);
      }),
    );
  });
});

describe('limits per minute', () => {
  test('of requests hold for any minute, and end with it', () => {
    const figures = figuresOf({ rpm: 2 });
    figures.requestSent(58_000, 0);
    figures.requestSent(62_000, 0);
    expect(figures.hasRoomFor(0, 62_000)).toBe(false);
    expect(figures.hasRoomFor(0, 62_000 + minute + 5000)).toBe(true);
  });

  test('of tokens count what was used, not what was estimated', () => {
    const figures = figuresOf({ tpm: 1000 });
    figures.requestSent(0, 800);
    expect(figures.hasRoomFor(300, 0)).toBe(false);
    figures.requestEnded(0, -500);
    expect(figures.hasRoomFor(300, 0)).toBe(true);
    expect(figures.hasRoomFor(701, 0)).toBe(false);
  });

  test('let a prompt through that is larger than they are, when nothing else runs', () => {
    const figures = figuresOf({ tpm: 100 });
    expect(figures.hasRoomFor(5000, 0)).toBe(true);
    figures.requestSent(0, 1);
    expect(figures.hasRoomFor(5000, 0)).toBe(false);
  });

  test('are never exceeded within a minute, whenever requests come', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 60 }), (pauses) => {
        const figures = figuresOf({ rpm: 5 });
        const sent: number[] = [];
        let now = 0;
        for (const pause of pauses) {
          now += pause;
          if (!figures.hasRoomFor(0, now)) continue;
          figures.requestSent(now, 0);
          sent.push(now);
        }
        // Slices of five seconds: what is surely in the last minute.
        for (const at of sent)
          expect(sent.filter((t) => t <= at && t > at - minute + 5000).length).toBeLessThanOrEqual(5);
      }),
    );
  });
});

describe('the headroom', () => {
  const left = (remaining: number, resetMs: number | null) => ({ limit: 100, remaining, resetMs });

  test('is whole where nothing limits it', () => {
    expect(figuresOf().headroom(0)).toBe(1);
  });

  test('is the least of what is configured and what the upstream says', () => {
    const figures = figuresOf({ rpm: 10, tpm: 1000 });
    figures.requestSent(0, 100);
    expect(figures.headroom(0)).toBeCloseTo(0.9);
    figures.quotaSaid({ requests: left(50, null), tokens: left(20, null) }, 0);
    expect(figures.headroom(0)).toBeCloseTo(0.2);
    figures.requestSent(0, 900);
    expect(figures.headroom(0)).toBe(0);
  });

  test('is whole again when the upstream’s quota is', () => {
    const figures = figuresOf();
    figures.quotaSaid({ requests: left(0, 3000), tokens: left(10, null) }, 0);
    expect(figures.headroom(2999)).toBe(0);
    expect(figures.headroom(3000)).toBeCloseTo(0.1);
    expect(figures.headroom(minute)).toBe(1);
  });

  test('keeps what was said of tokens when only requests are spoken of', () => {
    const figures = figuresOf();
    figures.quotaSaid({ requests: null, tokens: left(10, null) }, 0);
    figures.quotaSaid({ requests: left(90, null), tokens: null }, 1);
    expect(figures.headroom(1)).toBeCloseTo(0.1);
  });
});

test('the weight is the configured one, less while the instance comes back', () => {
  const health = new Health(defaultHealth);
  const figures = new LiveFigures({ weight: 10, rpm: null, tpm: null }, health);
  expect(figures.weight(0)).toBe(10);
  for (let i = 0; i < 3; i++) {
    health.ended({ kind: 'network', message: '' }, { isProbe: false, isLast: false, now: 0 });
  }
  health.ended(null, { isProbe: true, isLast: false, now: 1000 });
  expect(figures.weight(6000)).toBe(5);
});
