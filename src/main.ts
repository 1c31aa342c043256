import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from './config/config.ts';
import type { Clock } from './core/clock.ts';
import { systemClock } from './core/clock.ts';
import { SetupError } from './core/errors.ts';
import type { Random } from './core/random.ts';
import { systemRandom } from './core/random.ts';
import type { Provider } from './core/upstream.ts';
import type { PostWebhook } from './core/webhooks.ts';
import { Auditing } from './edge/admin/auditing.ts';
import { Authenticator } from './edge/auth/authenticator.ts';
import { RunningCalls } from './edge/http/running.ts';
import { createServer } from './edge/http/server.ts';
import type { Flow } from './flow/run.ts';
import type { AnswerCache } from './flow/cache/index.ts';
import type { Limiter } from './flow/limits/limiter.ts';
import type { Models } from './flow/routing/models.ts';
import { guardedFetch } from './egress/fetch.ts';
import { EgressGuard } from './egress/guard.ts';
import { egressRules } from './egress/rules.ts';
import { createProvider, pricedProvider } from './providers/index.ts';
import { PriceBook, shipped } from './providers/price-book.ts';
import { createTokens } from './security/create-tokens.ts';
import type { BackupService } from './store/backup/index.ts';
import { checkReach } from './security/reach.ts';
import { Issuer } from './security/issuer.ts';
import type { IssuerEvents } from './security/issuer-keys.ts';
import { IssuerKeys } from './security/issuer-keys.ts';
import { jwksOver } from './security/jwks-fetch.ts';
import { MasterKeys } from './security/master-keys.ts';
import { Messages } from './security/messages.ts';
import type { Tokens } from './security/tokens.ts';
import { RedisConnection } from './redis/connection.ts';
import type { Store } from './store/index.ts';
import { openStore } from './store/index.ts';
import type { JobsHere } from './compose/jobs.ts';
import { jobsOf } from './compose/jobs.ts';
import { jobQueueOf } from './compose/job-queue.ts';
import { answerCacheOf } from './compose/answer-cache.ts';
import { backupsOf } from './compose/backups.ts';
import { InstanceWatch } from './compose/instance-watch.ts';
import { agentsOf, payloadsOf } from './compose/agents.ts';
import { watchGateways } from './compose/gateways.ts';
import { keepSealed } from './compose/keep-sealed.ts';
import { limiterOf } from './compose/limiter.ts';
import { instanceStates, modelsOf } from './compose/models.ts';
import { overloadOf } from './compose/overload.ts';
import { webhooksOf } from './compose/webhooks.ts';
import { auditLogEvents, payloadEvents, redisEvents, storeEvents } from './compose/log-events.ts';
import type { QueuePlace } from './scheduler/drivers/job-queue.ts';
import { Verifier } from './security/verifier.ts';
import type { Log } from './telemetry/log.ts';
import { createLog } from './telemetry/log.ts';
import { createMetricsServer } from './telemetry/metrics-server.ts';
import { watchChecks } from './telemetry/instance-metrics.ts';
import { Metrics } from './telemetry/metrics.ts';
import manifest from '../package.json' with { type: 'json' };

/** A running Mizan. */
export interface Mizan extends Process {
  /** Where callers reach it: `http://127.0.0.1:8000`. */
  readonly url: string;
  readonly tokens: Tokens;
}

/** A process of Mizan, whatever it does. */
export interface Process {
  readonly metricsUrl: string;
  readonly log: Log;
  /** Takes no new work, lets what runs finish for as long as the config allows, and ends. */
  close(): Promise<void>;
}

/** Connections that may wait to be accepted. */
const backlog = 1024;

/** How long the last bytes of finished answers may take to be sent, in ms. */
const lastBytesMs = 2000;

/** Everything that a process is built of, whatever it does. */
interface House {
  readonly config: Config;
  readonly store: Store;
  readonly tokens: Tokens;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly guard: EgressGuard;
  readonly post: PostWebhook;
  readonly providers: ReadonlyMap<string, Provider>;
  readonly book: PriceBook;
  readonly models: Models;
  readonly watch: InstanceWatch;
  readonly limiter: Limiter;
  readonly cache: AnswerCache;
  readonly backups: BackupService;
  readonly redis: RedisConnection | null;
  /** `null` where jobs need no Redis. */
  readonly jobQueue: QueuePlace | null;
  readonly clock: Clock;
  readonly random: Random;
  /** Until when what can't be written may be tried again once all is being closed, on the monotonic clock, in ms. */
  readonly ending: { by: number };
}

/** How providers are made; a rehearsal has its own. */
type Provide = typeof createProvider;

interface Plan {
  readonly config: Config;
  readonly dataFolder: string;
  readonly provide: Provide;
  readonly isGateway?: boolean;
}

/** @param opened Is given what has to be closed in the end; the last first. */
async function openHouse(
  { config, dataFolder, provide, isGateway = false }: Plan,
  opened: AsyncDisposableStack,
): Promise<House> {
  const clock = systemClock;
  const random = systemRandom;
  const log = createLog(config.log.level);
  const tokens = createTokens(config, dataFolder);
  const store = await openStore({
    folder: dataFolder,
    url: config.database.url?.reveal() ?? null,
    isGateway,
    events: storeEvents(log),
    auditEvents: auditLogEvents(log),
    payloadEvents: payloadEvents(log),
    masterKeys: new MasterKeys(config.security.masterKey, dataFolder),
    unsound: (reason) => log.error({ event: 'database_damaged', reason }),
    damaged: (err) => log.error({ event: 'sealed_row_damaged', err }),
  });
  const ending = { by: 0 };
  opened.defer(() => store.close(ending.by));
  const upkeep = keepSealed(store, log);
  opened.defer(() => upkeep.abort());
  const backups = backupsOf(config, dataFolder, { log, program: manifest.version });
  opened.defer(() => backups.close());
  const metrics = new Metrics(() => store.state().pending);
  const guard = new EgressGuard(egressRules(config.egress.allow));
  const post = webhooksOf(config, guard, clock);
  const book = new PriceBook(store.prices);
  const providers = new Map<string, Provider>();
  for (const [name, settings] of Object.entries(config.providers)) {
    providers.set(name, provide(name, settings, clock, { guard, book }));
  }
  opened.defer(async () => {
    await Promise.all([...providers.values()].map((provider) => provider.close()));
  });
  const models = modelsOf(config, providers, { clock, random });
  const watch = new InstanceWatch({ store: store.modelHealth, models, metrics, clock });
  opened.defer(() => watch.close());
  watchChecks(metrics, watch);
  const redis = config.redis.url === null ? null : await RedisConnection.open(config.redis.url, redisEvents(log));
  opened.defer(() => redis?.close());
  if (redis !== null) metrics.watchRedis(() => ({ isUp: redis.trouble === null, unanswered: redis.unanswered }));
  metrics.watchPayloads(() => store.state().payloads);
  metrics.watchDatabase(() => store.state().trouble === null);
  const limiter = limiterOf(config, { store, metrics, log, clock, post, redis, dataFolder });
  opened.defer(() => limiter.close());
  const cache = await answerCacheOf(config, { metrics, clock, redis, store });
  opened.defer(() => cache.close());
  const jobQueue = jobQueueOf(config, dataFolder);
  const rooms = { config, store, tokens, log, metrics, guard, post, providers, book, models, watch };
  return { ...rooms, limiter, cache, backups, redis, jobQueue, clock, random, ending };
}

/** Does `build`, and closes what it opened where it fails. */
async function built<T>(build: (opened: AsyncDisposableStack) => Promise<T>): Promise<T> {
  const opened = new AsyncDisposableStack();
  try {
    return await build(opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

/**
 * Builds everything and listens.
 * @param options.role `gateway`: jobs run elsewhere.
 * @throws SetupError where a port is taken or the data folder can't be used.
 */
export function startMizan(
  config: Config,
  dataFolder: string,
  { provide = createProvider, role = 'all' }: { readonly provide?: Provide; readonly role?: 'all' | 'gateway' } = {},
): Promise<Mizan> {
  return built(async (opened) =>
    serve(await openHouse({ config, dataFolder, provide, isGateway: true }, opened), role, opened),
  );
}

async function serve(house: House, role: 'all' | 'gateway', opened: AsyncDisposableStack): Promise<Mizan> {
  const { config, store, tokens, log, metrics, models, backups, redis, clock } = house;
  checkReach(config.server.host, { ...config.auth, apiKeys: store.apiKeys, now: clock.now() });
  metrics.watchInstances(() => instanceStates(models));
  const protection = overloadOf(config, { metrics, log });
  opened.defer(() => protection?.stop());
  const flow = { ...flowOf(house), overload: protection?.overload ?? null };
  const jobs = jobsHere(house, flow, role === 'all');

  const auditing = new Auditing(store.audit, clock);
  opened.defer(() => auditing.close());
  const gateways = watchGateways({ store, limiter: house.limiter, isShared: redis !== null, log });
  opened.defer(() => gateways.stop());
  let isDraining = false;
  const running = new RunningCalls();
  const server = createServer({
    flow,
    limitRules: store.limitRules,
    ledger: store.ledger,
    prices: () =>
      Object.entries(config.providers).flatMap(([name, given]) => house.book.list(pricedProvider(name, given))),
    authenticator: new Authenticator(
      new Verifier(tokens, issuersOf(config, house)),
      store.apiKeys,
      store.revocations,
      clock,
    ),
    apiKeys: store.apiKeys,
    revocations: store.revocations,
    messages: new Messages(store.vault),
    requestHistory: store.requestHistory,
    payloadHistory: store.payloadHistory,
    overviews: store,
    storeState: () => store.state(),
    redisTrouble: () => redis?.trouble ?? null,
    limitsApart: () => gateways.isApart,
    running,
    backups,
    jobs: jobs.service,
    instanceChecks: house.watch,
    auditing,
    auditHistory: store.auditHistory,
    isDraining: () => isDraining,
    limits: { body: config.server.bodyLimit, headersTimeoutMs: config.server.headersTimeoutMs },
  });
  const metricsServer = createMetricsServer(metrics);
  const { host, port, metricsPort, shutdownTimeoutMs } = config.server;

  let url: string;
  let metricsUrl: string;
  try {
    await jobs.scheduler?.load();
    url = await listen(server.server, { host, port }, () => server.listen({ host, port, backlog }));
    metricsUrl = await listenForMetrics(metricsServer, host, metricsPort);
  } catch (error) {
    await server.close();
    throw error;
  }
  // Behind the start: nobody waits for it.
  void jobs.scheduler?.start();
  house.watch.start();

  return {
    url,
    metricsUrl,
    tokens,
    log,
    async close() {
      isDraining = true;
      house.ending.by = performance.now() + shutdownTimeoutMs;
      const stopped = jobs.scheduler?.stop();
      await until(() => metrics.inFlight === 0, shutdownTimeoutMs);
      running.cut();
      const closed = server.close();
      const impatient = setTimeout(() => server.server.closeAllConnections(), lastBytesMs);
      await closed;
      clearTimeout(impatient);
      await until(() => metrics.inFlight === 0, lastBytesMs);
      await stopped;
      endMetrics(metricsServer);
      await opened.disposeAsync();
    },
  };
}

/**
 * Runs the jobs, and takes no requests. Its metrics are on the configured port or, where that is taken by a gateway
 * beside it, on the next one.
 * @throws SetupError where both ports are taken or the data folder can't be used.
 */
export function startScheduler(config: Config, dataFolder: string): Promise<Process> {
  return built(async (opened) => {
    const house = await openHouse({ config, dataFolder, provide: createProvider }, opened);
    const { scheduler } = jobsHere(house, flowOf(house), true);
    await scheduler?.load();
    const metricsServer = createMetricsServer(house.metrics);
    const { host, metricsPort } = config.server;
    const metricsUrl = await listenForMetrics(metricsServer, host, metricsPort).catch((error: unknown) => {
      if (metricsPort === 0 || metricsPort === 65_535) throw error;
      return listenForMetrics(metricsServer, host, metricsPort + 1);
    });
    await scheduler?.start();
    house.watch.start();
    return {
      metricsUrl,
      log: house.log,
      async close() {
        house.ending.by = performance.now() + config.server.shutdownTimeoutMs;
        await scheduler?.stop();
        endMetrics(metricsServer);
        await opened.disposeAsync();
      },
    };
  });
}

/** Runs one run that waits, here, and nothing else: where no scheduler does. */
export async function runJobHere(config: Config, dataFolder: string, id: string): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const house = await openHouse({ config, dataFolder, provide: createProvider }, opened);
  await jobsHere(house, flowOf(house), true).scheduler?.runOnly(id);
}

function flowOf({ config, store, models, limiter, cache, metrics, log, clock, random }: House): Flow {
  return {
    agents: agentsOf(config),
    models,
    limiter,
    cache,
    requestLog: store.requestLog,
    payloads: payloadsOf(config, store, random),
    overload: null,
    metrics,
    log,
    clock,
    random,
  };
}

function jobsHere(house: House, flow: Flow, isRunning: boolean): JobsHere {
  return jobsOf({ ...house, flow, shipped, outgoing: guardedFetch(house.guard) }, isRunning);
}

function listenForMetrics(server: Server, host: string, port: number): Promise<string> {
  return listen(server, { host, port }, () => {
    server.listen({ host, port });
    return once(server, 'listening');
  });
}

function endMetrics(server: Server): void {
  server.close();
  server.closeAllConnections();
}

/** Their keys are fetched at once, behind the start, so that few first tokens have to wait. */
function issuersOf(
  config: Config,
  { clock, log, guard }: { readonly clock: Clock; readonly log: Log; readonly guard: EgressGuard },
): Issuer[] {
  const fetch = jwksOver(guardedFetch(guard));
  const events: IssuerEvents = {
    failed: (issuer, err) => log.error({ event: 'issuer_unreachable', issuer, err }),
    recovered: (issuer) => log.info({ event: 'issuer_recovered', issuer }),
  };
  return config.auth.issuers.map((settings) => {
    const keys = new IssuerKeys(settings, { fetch, clock, events });
    keys.refresh();
    return new Issuer(settings, keys);
  });
}

/** @throws SetupError where the address can't be had. */
async function listen(
  server: Server,
  address: { readonly host: string; readonly port: number },
  start: () => Promise<unknown>,
): Promise<string> {
  try {
    await start();
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    throw new SetupError(`Can't listen on ${address.host}:${address.port}`, isTaken ? 'the port is taken' : error);
  }
  const bound = server.address() as AddressInfo;
  return `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
}

/** Waits until `isTrue`, at most `limitMs`. */
async function until(isTrue: () => boolean, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!isTrue() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
}
