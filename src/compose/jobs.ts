import type { Backups } from '../core/backups.ts';
import type { Clock } from '../core/clock.ts';
import type { Config } from '../config/config.ts';
import type { Jobs } from '../core/jobs.ts';
import type { WatchedInstance } from '../core/model-health.ts';
import type { Outgoing } from '../core/outgoing.ts';
import type { PriceTables } from '../core/prices.ts';
import { openRouterModels } from '../core/prices.ts';
import type { Random } from '../core/random.ts';
import type { Provider } from '../core/upstream.ts';
import type { CacheCleaner } from '../core/response-cache.ts';
import type { PostWebhook } from '../core/webhooks.ts';
import type { Flow } from '../flow/run.ts';
import type { JobType } from '../scheduler/contract.ts';
import { Scheduler } from '../scheduler/index.ts';
import { agentJob } from '../scheduler/jobs/agent.ts';
import { backup } from '../scheduler/jobs/backup.ts';
import { cacheCleanup } from '../scheduler/jobs/cache-cleanup.ts';
import { keyRotation } from '../scheduler/jobs/key-rotation.ts';
import { modelHealth } from '../scheduler/jobs/model-health.ts';
import { priceRefresh } from '../scheduler/jobs/price-refresh.ts';
import { retention } from '../scheduler/jobs/retention.ts';
import type { QueuePlace } from '../scheduler/drivers/job-queue.ts';
import { WebhookNotifier } from '../scheduler/notifier.ts';
import { JobsService } from '../scheduler/service.ts';
import type { Store } from '../store/index.ts';
import { jobFigures } from '../telemetry/job-metrics.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { agentRuns } from './agent-runs.ts';
import { makersOf } from './makers.ts';
import { probesOf } from './probes.ts';

/** What jobs are made of. */
export interface JobsHouse {
  readonly config: Config;
  readonly store: Store;
  readonly backups: Backups;
  /** The prices that come with the program. */
  readonly shipped: PriceTables;
  readonly cache: CacheCleaner;
  readonly flow: Flow;
  readonly outgoing: Outgoing;
  /** By their names. */
  readonly providers: ReadonlyMap<string, Provider>;
  readonly post: PostWebhook;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Where BullMQ brings due times to whoever runs them; `null` where everybody looks for himself. */
  readonly jobQueue: QueuePlace | null;
  readonly clock: Clock;
  readonly random: Random;
}

/** The jobs of a process. */
export interface JobsHere {
  readonly service: Jobs;
  /** `null` where this process runs none. */
  readonly scheduler: Scheduler | null;
}

/** @param isRunning Whether jobs run in this process; else they can be seen and asked for. */
export function jobsOf(house: JobsHouse, isRunning: boolean): JobsHere {
  const { config, store, log, metrics, clock, random } = house;
  const { notify, timezone, maxWaiting: mostWaiting } = config.schedule;
  const { post } = house;
  const types = jobTypesOf(house, post);
  const notifier =
    isRunning && notify.webhooks.length > 0
      ? new WebhookNotifier({ ...notify, post, notices: store.notices, clock, log })
      : null;
  const scheduler = isRunning
    ? new Scheduler({
        store: store.jobs,
        types,
        clock,
        random,
        log,
        mostWaiting,
        configured: config.schedule.jobs,
        figures: jobFigures(metrics),
        notifier,
        queue: house.jobQueue,
        graceMs: config.server.shutdownTimeoutMs,
      })
    : null;
  const service = new JobsService({
    store: store.jobs,
    clock,
    types,
    timezone,
    mostWaiting,
    poke: () => scheduler?.poke(),
  });
  return { service, scheduler };
}

function jobTypesOf(house: JobsHouse, post: PostWebhook): ReadonlyMap<string, JobType> {
  const { config, store, backups, cache, clock, flow, log, providers, outgoing, shipped } = house;
  const runAgent = agentRuns(flow);
  const probes = probesOf({ providers, runAgent, clock });
  const types = [
    cacheCleanup(cache),
    modelHealth({
      instances: instancesOf(config),
      store: store.modelHealth,
      probes,
      clock,
      changed: ({ model, instance, state, source, detail }, { state: before }) => {
        const facts = { event: 'instance_state', model, instance, before, state, source, detail };
        if (state === 'down') log.warn(facts);
        else log.info(facts);
      },
    }),
    agentJob({
      runAgent,
      agents: Object.keys(config.agents),
      post,
      webhooks: config.schedule.webhooks,
      commissionOf: makersOf(store),
    }),
    backup(backups),
    retention({
      removeOld: (signal, onProgress) => store.removeOld(config.retention, signal, onProgress),
      store: store.jobs,
      clock,
      historyDays: config.schedule.historyDays,
    }),
    priceRefresh({ ...store, shipped, outgoing, clock, openRouterUrl: openRouterUrlOf(config) }),
    keyRotation({ rotate: (purpose) => store.vault.renew({ purpose }) }),
  ];
  return new Map(types.map((type) => [type.name, type]));
}

/** Of the provider that is OpenRouter, which may be reached by another address. */
function openRouterUrlOf({ providers }: Config): string {
  for (const settings of Object.values(providers)) {
    if (settings.kind === 'openrouter') return `${settings.baseUrl}/models`;
  }
  return openRouterModels;
}

function instancesOf({ models, providers }: Config): WatchedInstance[] {
  return Object.entries(models).flatMap(([model, { instances }]) =>
    instances.map(({ id, provider, model: upstreamModel }) => {
      const providerKind = providers[provider]?.kind ?? '';
      return { model, instance: id, provider, providerKind, upstreamModel };
    }),
  );
}
