import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { startUpstream } from '../../test/support/upstream.ts';
import { MizanError } from '../core/errors.ts';
import type { NamedJob } from '../core/jobs.ts';
import { everyTenant } from '../core/request-record.ts';
import { Secret } from '../core/secret.ts';
import { guardedFetch } from '../egress/fetch.ts';
import { EgressGuard } from '../egress/guard.ts';
import { egressRules } from '../egress/rules.ts';
import type { Store } from '../store/index.ts';
import { openStore } from '../store/index.ts';
import { jobFigures } from '../telemetry/job-metrics.ts';
import { createLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { Engine } from './engine.ts';
import { WebhookNotifier } from './notifier.ts';
import { reportsOf } from './reports.ts';
import { sceneOn, start } from './scene.suite.ts';
import { JobsService } from './service.ts';
import { webhookPoster } from './webhooks.ts';

// From a run to what people are told of it, through everything that there is in between.

const folder = mkdtempSync(join(tmpdir(), 'mizan-reports-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { stores, job } = sceneOn(async () => ({ open: () => openStore({ folder, url: null }) }));

/** Schedulers, each as a process of its own has it, that tell one receiver. */
async function schedulers(mine: NamedJob, work: () => Promise<unknown>) {
  const receiver = await startUpstream((_, response) => response.writeHead(200).end());
  const clock = new ManualClock(start);
  const log = createLog('silent');
  const metrics = new Metrics(() => 0);
  const figures = jobFigures(metrics);
  const post = webhookPoster({
    webhooks: { team: { url: new Secret(`${receiver.origin}/hook`), secret: null, format: 'slack' } },
    outgoing: guardedFetch(new EgressGuard(egressRules(['127.0.0.1']))),
    clock,
    pause: async () => {},
  });
  const parties = [stores.one, stores.other].map((opened) => {
    const { jobs, notices } = opened as Store;
    const notifier = new WebhookNotifier({
      webhooks: ['team'],
      on: ['failure', 'late', 'recovery'],
      repeatMs: 6 * 3_600_000,
      post,
      notices,
      clock,
      log,
    });
    const types = new Map([
      [mine.type, { name: mine.type, run: work, check: (settings: object) => ({ ...settings }) }],
    ]);
    const events = reportsOf({ log, figures, notifier, catalogue: () => engine.catalogue });
    const engine: Engine = new Engine({ store: jobs, types, clock, random: () => 0, events, mostWaiting: 10 });
    onTestFinished(() => engine.stop(0));
    return {
      async make() {
        await engine.refresh();
        await engine.makeDue();
      },
      async begin() {
        await engine.refresh();
        await engine.sweep();
        await engine.settled();
        await notifier.stop(60_000);
      },
    };
  });
  const told = (): string[] =>
    receiver.requests.map(({ body }) => (JSON.parse(body) as { text: string }).text.replace(mine.name, 'it'));
  const [one, other] = parties as [(typeof parties)[number], (typeof parties)[number]];
  return { one, other, clock, told, metric: async (name: string) => metrics.registry.getSingleMetricAsString(name) };
}

test('of a job that fails, whoever runs it, people hear once, and once that it is well again', async () => {
  const mine = await job();
  let isWell = false;
  const { one, other, clock, told, metric } = await schedulers(mine, async () => {
    if (!isWell) throw new MizanError('upstream_error', 'Nobody is there.');
  });
  for (const each of [one, other, one, other]) {
    clock.advance(1000);
    await each.make();
    await each.begin();
  }
  expect(told()).toEqual(['Job it failed: Nobody is there.']);
  isWell = true;
  for (const each of [other, one]) {
    clock.advance(1000);
    await each.make();
    await each.begin();
  }
  expect(told()).toEqual(['Job it failed: Nobody is there.', 'Job it is well again.']);
  const runs = await metric('mizan_job_runs_total');
  expect(runs).toContain(`mizan_job_runs_total{job="${mine.name}",status="failed"} 4`);
  expect(runs).toContain(`mizan_job_runs_total{job="${mine.name}",status="succeeded"} 2`);
  await stores.one.jobs.remove(mine.name, 'config', start);
});

test('of one that begins more than a minute late people hear, and not of one that just didn’t', async () => {
  const mine = await job({ schedule: { kind: 'every', everyMs: 3_600_000 } });
  const { one, other, clock, told, metric } = await schedulers(mine, async () => null);
  const begunAfter = async (each: typeof one, lateMs: number): Promise<void> => {
    clock.advance(3_600_000 - (clock.now() % 3_600_000));
    await each.make();
    clock.advance(lateMs);
    await each.begin();
  };
  await begunAfter(one, 60_000);
  expect(told()).toEqual([]);
  await begunAfter(one, 60_001);
  await begunAfter(other, 90_000);
  expect(told()).toEqual(['Job it began 60 s late.']);
  for (let hour = 0; hour < 6; hour++) await begunAfter(one, 0);
  await begunAfter(other, 90_000);
  expect(told()).toEqual(['Job it began 60 s late.', 'Job it began 90 s late.']);
  expect(await metric('mizan_job_lateness_seconds')).toContain(
    `mizan_job_lateness_seconds_bucket{le="60",job="${mine.name}"} 7`,
  );
  await stores.one.jobs.remove(mine.name, 'config', start);
});

test('what is asked for by hand is never late, and a job that was made over the API has no label of its own', async () => {
  const mine = await job({ schedule: { kind: 'every', everyMs: 3_600_000 } });
  await stores.one.jobs.remove(mine.name, 'config', start);
  await stores.one.jobs.put(mine, { source: 'api', by: 'ada', now: start });
  const { one, clock, told, metric } = await schedulers(mine, async () => null);
  const service = new JobsService({ store: stores.one.jobs, clock, types: new Map(), timezone: 'UTC', mostWaiting: 9 });
  await service.run(await service.find(everyTenant, mine.name), 'ada');
  clock.advance(600_000);
  await one.begin();
  expect(told()).toEqual([]);
  const runs = await metric('mizan_job_runs_total');
  expect(runs).toContain('mizan_job_runs_total{job="(api)",status="succeeded"} 1');
  expect(runs).not.toContain(mine.name);
  expect(await metric('mizan_job_lateness_seconds')).not.toContain('_count');
});
