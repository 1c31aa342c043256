import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import type { AuditEvent } from '../../core/audit.ts';
import { Denials } from './denials.ts';

const denial = (over: Partial<AuditEvent> = {}): AuditEvent => ({
  action: 'request.denied',
  outcome: 'denied',
  actor: null,
  tenant: 'system',
  target: 'POST /ai-process',
  before: null,
  after: { code: 'invalid_token' },
  from: '10.0.0.1',
  requestId: 'req_1',
  ...over,
});

function denials() {
  const clock = new ManualClock();
  const recorded: AuditEvent[] = [];
  const log = new Denials({ record: (event) => recorded.push(event) }, clock);
  return { clock, recorded, log };
}

test('the first denial of a kind is recorded at once, those like it within a minute as one more', () => {
  const { clock, recorded, log } = denials();
  for (let i = 0; i < 1000; i++) log.record(denial({ requestId: `req_${i}` }));
  expect(recorded).toEqual([denial({ requestId: 'req_0' })]);
  clock.advance(60_000);
  log.record(denial({ requestId: 'req_next' }));
  expect(recorded.slice(1)).toEqual([denial({ requestId: null, count: 999 }), denial({ requestId: 'req_next' })]);
  log.flush();
  expect(recorded).toHaveLength(3);
});

test('what differs in who, where, why or whence is told apart', () => {
  const { recorded, log } = denials();
  const actor = { subject: 'a', tenant: 't', via: 'jwt' } as const;
  const others = [{ actor }, { target: 'GET /v1/models' }, { after: { code: 'expired_token' } }, { from: '10.0.0.2' }];
  for (const over of [{}, ...others]) log.record(denial(over));
  expect(recorded).toHaveLength(5);
});

test('no flood leaves more than 121 entries a minute, and none of it goes uncounted', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(500), { maxLength: 3000 }), (sources) => {
      const { recorded, log } = denials();
      for (const source of sources) log.record(denial({ from: `10.0.${source >> 8}.${source & 255}` }));
      log.flush();
      expect(recorded.length).toBeLessThanOrEqual(121);
      expect(recorded.reduce((sum, { count = 1 }) => sum + count, 0)).toBe(sources.length);
    }),
    { numRuns: 50 },
  );
});
