import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { startUpstream } from '../../test/support/upstream.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun } from '../core/jobs.ts';
import { Secret } from '../core/secret.ts';
import { guardedFetch } from '../egress/fetch.ts';
import { EgressGuard } from '../egress/guard.ts';
import { egressRules } from '../egress/rules.ts';
import { createLog } from '../telemetry/log.ts';
import type { Store } from '../store/index.ts';
import { openStore } from '../store/index.ts';
import { WebhookNotifier } from './notifier.ts';
import { webhookPoster } from './webhooks.ts';

const hour = 3_600_000;
const secret = 'a secret of ours';
const folder = mkdtempSync(join(tmpdir(), 'mizan-notices-'));
let stores: Store[];
let names = 0;

beforeAll(async () => {
  stores = [await openStore({ folder, url: null }), await openStore({ folder, url: null })];
});

afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  rmSync(folder, { recursive: true, force: true });
});

/** Two processes that tell one receiver of a job of its own. The receiver answers with each status, then with 200. */
async function told(
  statuses: number[] = [],
  on: readonly ('failure' | 'late' | 'recovery')[] = ['failure', 'late', 'recovery'],
) {
  const receiver = await startUpstream((_, response) => response.writeHead(statuses.shift() ?? 200).end());
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const post = webhookPoster({
    webhooks: { team: { url: new Secret(`${receiver.origin}/hook`), secret: new Secret(secret), format: 'slack' } },
    outgoing: guardedFetch(new EgressGuard(egressRules(['127.0.0.1']))),
    clock,
    pause: async () => {},
  });
  const log = createLog('silent');
  const notifiers = stores.map(
    ({ notices }) => new WebhookNotifier({ webhooks: ['team'], on, repeatMs: 6 * hour, post, notices, clock, log }),
  );
  onTestFinished(() => Promise.all(notifiers.map((notifier) => notifier.stop(0))).then(() => undefined));
  const job = `job-${++names}`;
  let runs = 0;
  const run = (): JobRun => ({ id: `run_${job}_${++runs}`, job, due: clock.now(), attempts: 1 }) as unknown as JobRun;
  const texts = (): string[] => receiver.requests.map(({ body }) => (JSON.parse(body) as { text: string }).text);
  const settled = async (): Promise<string[]> => {
    await Promise.all(notifiers.map((notifier) => notifier.stop(60_000)));
    return texts().map((text) => text.replace(job, 'it'));
  };
  const [one, other] = notifiers as [WebhookNotifier, WebhookNotifier];
  const fail = async (notifier = one) => {
    notifier.failed(run(), { error: new MizanError('internal', 'no room') });
    return settled();
  };
  const succeed = async (notifier = one) => {
    notifier.succeeded(run());
    return settled();
  };
  return { receiver, clock, one, other, run, fail, succeed, settled };
}

test('a failure is told once in a while, whichever process sees it, in a text that Slack shows, and signed', async () => {
  const { fail, other, clock, receiver } = await told();
  await fail();
  await fail(other);
  clock.advance(6 * hour - 1);
  expect(await fail()).toEqual(['Job it failed: no room']);
  clock.advance(1);
  expect(await fail(other)).toHaveLength(2);
  const [{ headers, body }] = receiver.requests as [(typeof receiver.requests)[number]];
  expect(Object.keys(JSON.parse(body) as object)).toEqual(['text']);
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
  const mac = createHmac('sha256', secret).update(signed).digest('base64');
  expect(headers['webhook-signature']).toBe(`v1,${mac}`);
});

test('that it is well again is told once, where a failure was told; and the next failure is news', async () => {
  const { fail, succeed, other } = await told();
  expect(await succeed()).toEqual([]);
  await fail();
  await succeed(other);
  await succeed();
  await fail();
  expect(await succeed()).toEqual([
    'Job it failed: no room',
    'Job it is well again.',
    'Job it failed: no room',
    'Job it is well again.',
  ]);
});

test('what the receiver takes at the third try is told once, and under one id', async () => {
  const { fail, receiver } = await told([500, 503]);
  await fail();
  expect(receiver.requests).toHaveLength(3);
  expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});

test('what nobody took is told at the next failure, however soon', async () => {
  const { fail, receiver } = await told([500, 500, 500, 500]);
  await fail();
  expect(receiver.requests).toHaveLength(4);
  await fail();
  expect(receiver.requests).toHaveLength(5);
});

test('lateness is told in seconds, once in a while', async () => {
  const { one, other, run, settled, clock } = await told();
  one.late(run(), 61_400);
  await settled();
  other.late(run(), 90_000);
  await settled();
  clock.advance(6 * hour);
  one.late(run(), 3_600_000);
  expect(await settled()).toEqual(['Job it began 61 s late.', 'Job it began 3600 s late.']);
});

test('only what is wanted is told, and a recovery from what was not told is', async () => {
  const { fail, succeed, one, run, settled } = await told([], ['recovery']);
  await fail();
  one.late(run(), 90_000);
  await settled();
  expect(await succeed()).toEqual(['Job it is well again.']);
});
