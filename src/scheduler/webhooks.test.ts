import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { OutgoingRequest } from '../core/outgoing.ts';
import { Secret } from '../core/secret.ts';
import { guardedFetch } from '../egress/fetch.ts';
import { EgressGuard } from '../egress/guard.ts';
import { egressRules } from '../egress/rules.ts';
import { webhookPoster } from './webhooks.ts';

/** A webhook that answers with each of `statuses` in turn; 0 for nobody there. */
function poster(
  statuses: number[],
  { secret = null, format = 'mizan' }: { readonly secret?: string | null; readonly format?: 'mizan' | 'slack' } = {},
) {
  const asked: OutgoingRequest[] = [];
  const paused: number[] = [];
  const post = webhookPoster({
    webhooks: {
      team: {
        url: new Secret('https://example.com/hook'),
        secret: secret === null ? null : new Secret(secret),
        format,
      },
    },
    outgoing: async (request) => {
      asked.push(request);
      const status = statuses.shift() ?? 200;
      if (status === 0) throw new MizanError('upstream_error', 'example.com could not be reached.');
      return { status, headers: {}, body: Buffer.alloc(0) };
    },
    clock: new ManualClock(Date.UTC(2026, 0, 1)),
    pause: async (ms) => void paused.push(ms),
  });
  return { post, asked, paused };
}

const message = { id: 'run_1', type: 'job.failed', text: 'Job backup failed: no room', data: { job: 'backup' } };
const never = new AbortController().signal;

test('a webhook is signed as Standard Webhooks has it, over id, time and body', async () => {
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  const { post, asked } = poster([200], { secret });
  await post('team', message, never);
  const [{ headers, body, namedBy }] = asked as [OutgoingRequest];
  expect(namedBy).toBe('listed');
  const signed = `run_1.1767225600.${String(body)}`;
  const mac = createHmac('sha256', Buffer.alloc(24, 7)).update(signed).digest('base64');
  expect(headers).toMatchObject({
    'webhook-id': 'run_1',
    'webhook-timestamp': '1767225600',
    'webhook-signature': `v1,${mac}`,
  });
  expect(JSON.parse(String(body))).toEqual({
    type: 'job.failed',
    timestamp: '2026-01-01T00:00:00.000Z',
    text: message.text,
    data: message.data,
  });
});

test('for Slack and its like the body is a text', async () => {
  const { post, asked } = poster([200], { format: 'slack' });
  await post('team', message, never);
  expect(JSON.parse(String(asked[0]?.body))).toEqual({ text: message.text });
});

test('what is not taken is tried again under the same id, later each time, and then given up', async () => {
  const recovering = poster([0, 503, 429, 200]);
  await recovering.post('team', message, never);
  expect(recovering.paused).toEqual([1000, 5000, 25_000]);
  expect(new Set(recovering.asked.map(({ headers }) => headers?.['webhook-id']))).toEqual(new Set(['run_1']));
  const lost = poster([500, 500, 500, 500, 200]);
  await expect(lost.post('team', message, never)).rejects.toThrow('The webhook "team" answered 500.');
  expect(lost.asked).toHaveLength(4);
});

test('what is refused for good is not tried again', async () => {
  const { post, asked } = poster([404, 200]);
  await expect(post('team', message, never)).rejects.toThrow('The webhook "team" answered 404.');
  expect(asked).toHaveLength(1);
});

test('a name that leads to a private address is not posted to, and the address is told to nobody', async () => {
  const guard = new EgressGuard(egressRules([]), (_host, _options, done) => {
    process.nextTick(() => done(null, [{ address: '10.1.2.3', family: 4 }]));
  });
  const paused: number[] = [];
  const post = webhookPoster({
    webhooks: { team: { url: new Secret('https://hooks.example.com/x'), secret: null, format: 'mizan' } },
    outgoing: guardedFetch(guard),
    clock: new ManualClock(),
    pause: async (ms) => void paused.push(ms),
  });
  const refused = post('team', message, never);
  await expect(refused).rejects.toBeInstanceOf(MizanError);
  await expect(refused).rejects.not.toThrow('10.1.2.3');
});
