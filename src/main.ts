import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from './config/config.ts';
import type { Clock } from './core/clock.ts';
import { systemClock } from './core/clock.ts';
import { SetupError } from './core/errors.ts';
import type { Random } from './core/random.ts';
import type { SharedAnswers } from './core/response-cache.ts';
import { systemRandom } from './core/random.ts';
import type { Secret } from './core/secret.ts';
import type { Provider } from './core/upstream.ts';
import { Auditing } from './edge/admin/auditing.ts';
import { Authenticator } from './edge/auth/authenticator.ts';
import { RunningCalls } from './edge/http/running.ts';
import { createServer } from './edge/http/server.ts';
import { Agents } from './flow/agents/agents.ts';
import { AnswerCache } from './flow/cache/index.ts';
import { CacheRules, policyOf, versionOf } from './flow/cache/policy.ts';
import type { BudgetAlert } from './flow/limits/alerts.ts';
import { Limiter } from './flow/limits/limiter.ts';
import { limiterEvents, limitStates } from './flow/limits/figures.ts';
import { Payloads } from './flow/payloads/capture.ts';
import { Models } from './flow/routing/models.ts';
import { Pool } from './flow/routing/pool.ts';
import { Served } from './flow/routing/served.ts';
import { strategies } from './flow/routing/strategies/index.ts';
import { guardedFetch } from './egress/fetch.ts';
import { EgressGuard } from './egress/guard.ts';
import { egressRules } from './egress/rules.ts';
import { createProvider } from './providers/index.ts';
import { createTokens } from './security/create-tokens.ts';
import { BackupService } from './store/backup/index.ts';
import { backupSettings } from './store/backup/settings.ts';
import { checkReach } from './security/reach.ts';
import { Issuer } from './security/issuer.ts';
import type { IssuerEvents } from './security/issuer-keys.ts';
import { IssuerKeys } from './security/issuer-keys.ts';
import { jwksOver } from './security/jwks-fetch.ts';
import { MasterKeys } from './security/master-keys.ts';
import { Messages } from './security/messages.ts';
import type { Tokens } from './security/tokens.ts';
import type { RedisEvents } from './redis/connection.ts';
import { RedisConnection } from './redis/connection.ts';
import { RedisLimits } from './redis/limits.ts';
import { nodeName } from './redis/node-name.ts';
import type { PayloadEvents, Store, StoreEvents } from './store/index.ts';
import { openStore } from './store/index.ts';
import { Verifier } from './security/verifier.ts';
import type { AuditLogEvents } from './store/sqlite/audit-log.ts';
import type { Vault } from './store/sqlite/vault.ts';
import type { Log } from './telemetry/log.ts';
import { createLog } from './telemetry/log.ts';
import { createMetricsServer } from './telemetry/metrics-server.ts';
import type { InstanceState } from './telemetry/metrics.ts';
import { Metrics } from './telemetry/metrics.ts';
import manifest from '../package.json' with { type: 'json' };

/** A running Mizan. */
export interface Mizan {
  /** Where callers reach it: `http://127.0.0.1:8000`. */
  readonly url: string;
  readonly metricsUrl: string;
  readonly tokens: Tokens;
  readonly log: Log;
  /** Takes no new work, lets what runs finish for as long as the config allows, and ends. */
  close(): Promise<void>;
}

/** Time and chance, as the flow is given them. */
interface World {
  readonly clock: Clock;
  readonly random: Random;
}

/** How often old rows are looked for, in ms. */
const tidyMs = 3_600_000;

/** How often it is looked whether a rotation has left something to do, in ms. */
const upkeepMs = 60_000;

/** Connections that may wait to be accepted. */
const backlog = 1024;

/** Between two tries to reach the webhook, in ms. */
const webhookPauseMs = 5000;

/** How long the last bytes of finished answers may take to be sent, in ms. */
const lastBytesMs = 2000;

/**
 * Builds everything and listens.
 * @param provide Makes the providers; a rehearsal has its own.
 * @throws SetupError where a port is taken or the data folder can't be used.
 */
export async function startMizan(config: Config, dataFolder: string, provide = createProvider): Promise<Mizan> {
  const opened = new AsyncDisposableStack();
  try {
    return await build({ config, dataFolder, provide }, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

interface Plan {
  readonly config: Config;
  readonly dataFolder: string;
  readonly provide: typeof createProvider;
}

/** @param opened Is given what has to be closed in the end; the last first. */
async function build({ config, dataFolder, provide }: Plan, opened: AsyncDisposableStack): Promise<Mizan> {
  const clock = systemClock;
  const random = systemRandom;
  const log = createLog(config.log.level);
  const tokens = createTokens(config, dataFolder);
  const store = await openStore({
    folder: dataFolder,
    url: config.database.url?.reveal() ?? null,
    events: storeEvents(log),
    auditEvents: auditLogEvents(log),
    payloadEvents: payloadEvents(log),
    masterKeys: new MasterKeys(config.security.masterKey, dataFolder),
    unsound: (reason) => log.error({ event: 'database_damaged', reason }),
    damaged: (err) => log.error({ event: 'sealed_row_damaged', err }),
  });
  opened.defer(() => store.close());
  checkReach(config.server.host, { ...config.auth, apiKeys: store.apiKeys, now: clock.now() });
  const upkeep = keepSealed(store.vault, log);
  opened.defer(() => upkeep.abort());
  const backups = backupsOf(config, dataFolder, log);
  opened.defer(() => backups.close());
  const metrics = new Metrics(() => store.state().pending);
  const guard = new EgressGuard(egressRules(config.egress.allow));
  const providers = new Map<string, Provider>();
  for (const [name, settings] of Object.entries(config.providers)) {
    providers.set(name, provide(name, settings, clock, guard));
  }
  opened.defer(async () => {
    await Promise.all([...providers.values()].map((provider) => provider.close()));
  });
  const models = modelsOf(config, providers, { clock, random });
  const tidying = keepTidy(store, config, log);
  opened.defer(() => clearInterval(tidying));
  const redis = config.redis.url === null ? null : await RedisConnection.open(config.redis.url, redisEvents(log));
  opened.defer(() => redis?.close());
  if (redis !== null) metrics.watchRedis(() => redis.trouble === null);
  metrics.watchPayloads(() => store.state().payloads);
  metrics.watchDatabase(() => store.state().trouble === null);
  metrics.watchInstances(() => instanceStates(models));

  const shared = redis === null ? null : new RedisLimits(redis, nodeName(dataFolder));
  const limiter = new Limiter(
    { limits: config.limits, budgets: config.budgets, ...config.limiting },
    {
      rules: store.limitRules,
      ledger: store.ledger,
      clock,
      events: limiterEvents(metrics, clock, budgetAlerts(config, guard, log)),
      shared,
    },
  );
  opened.defer(() => limiter.close());
  metrics.watchLimits(() => limitStates(limiter));
  if (redis !== null) metrics.watchSharing(() => limiter.isByShare);

  const answers = redis === null ? null : await sharedAnswersOf(redis, store.vault, { config, metrics });
  const cache = cacheOf(config, { metrics, clock, shared: answers });
  opened.defer(() => cache.close());
  const auditing = new Auditing(store.audit, clock);
  opened.defer(() => auditing.close());
  let isDraining = false;
  const running = new RunningCalls();
  const server = createServer({
    flow: {
      agents: agentsOf(config),
      models,
      limiter,
      cache,
      requestLog: store.requestLog,
      payloads: payloadsOf(config, store, random),
      metrics,
      log,
      clock,
      random,
    },
    limitRules: store.limitRules,
    ledger: store.ledger,
    authenticator: new Authenticator(
      new Verifier(tokens, issuersOf(config, { clock, log, guard })),
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
    running,
    backups,
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
    url = await listen(server.server, { host, port }, () => server.listen({ host, port, backlog }));
    metricsUrl = await listen(metricsServer, { host, port: metricsPort }, () => {
      metricsServer.listen({ host, port: metricsPort });
      return once(metricsServer, 'listening');
    });
  } catch (error) {
    await server.close();
    throw error;
  }

  return {
    url,
    metricsUrl,
    tokens,
    log,
    async close() {
      isDraining = true;
      await until(() => metrics.inFlight === 0, shutdownTimeoutMs);
      running.cut();
      const closed = server.close();
      const impatient = setTimeout(() => server.server.closeAllConnections(), lastBytesMs);
      await closed;
      clearTimeout(impatient);
      await until(() => metrics.inFlight === 0, lastBytesMs);
      metricsServer.close();
      metricsServer.closeAllConnections();
      await opened.disposeAsync();
    },
  };
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

/** Goes on with what a rotation left to do, here or in another process, until it is aborted. */
function keepSealed(vault: Vault, log: Log): AbortController {
  const abort = new AbortController();
  const work = (): void => {
    vault
      .upkeep(abort.signal, (row) => log.error({ event: 'sealed_row_damaged', row }))
      .catch((err: unknown) => log.error({ event: 'sealing_upkeep_failed', err }));
  };
  const timer = setInterval(work, upkeepMs).unref();
  abort.signal.addEventListener('abort', () => clearInterval(timer));
  work();
  return abort;
}

function agentsOf(config: Config): Agents {
  const agents = Object.entries(config.agents).map(([name, agent]) => [name, { name, ...agent }] as const);
  return new Agents(new Map(agents), config.defaultAgent);
}

function payloadsOf(config: Config, { payloads }: Store, random: Random): Payloads | null {
  const byAgent = new Map(Object.entries(config.agents).map(([name, agent]) => [name, agent.payloads] as const));
  return Payloads.of({ byAgent, byDefault: config.payloads }, payloads, random);
}

function modelsOf(config: Config, providers: ReadonlyMap<string, Provider>, world: World): Models {
  const models = new Map<string, Served>();
  for (const [id, model] of Object.entries(config.models)) {
    const instances = model.instances.map(({ provider: name, model: upstreamModel, price, ...rest }) => {
      const provider = providers.get(name);
      if (provider === undefined) throw new SetupError(`models.${id}: there is no provider "${name}".`);
      return { ...rest, provider, upstreamModel, price: price ?? provider.priceOf(upstreamModel) };
    });
    const { strategy: strategyName, timeouts, health, queue, retries, fallbacks, hedge, resume } = model;
    const strategy = strategies[strategyName]();
    const pool = new Pool({ id, label: id, instances, strategyName, strategy, timeouts }, { health, queue }, world);
    const { attempts: maxAttempts, ratio: retryRatio } = retries;
    models.set(id, new Served(pool, { maxAttempts, retryRatio, fallbacks, hedge, resume }));
  }
  return new Models(models, providers, world);
}

/** Versions are of definitions, so that every process with the same configuration has the same. */
function cacheOf(
  config: Config,
  world: { readonly metrics: Metrics; readonly clock: Clock; readonly shared: SharedAnswers | null },
): AnswerCache {
  const providers = new Map<string, string>();
  for (const [name, provider] of Object.entries(config.providers)) {
    providers.set(name, versionOf({ ...provider, apiKey: undefined }));
  }
  const models = Object.entries(config.models).map(([id, { cache, ...model }]) => {
    const version = versionOf([model, model.instances.map(({ provider }) => providers.get(provider))]);
    return [id, { version, policy: policyOf(cache) }] as const;
  });
  const agents = Object.entries(config.agents).map(([name, { cache, description: _description, ...agent }]) => {
    return [name, { version: versionOf(agent), policy: policyOf(cache), params: agent.params }] as const;
  });
  const { maxBytes, maxBytesPerTenant, ...rule } = config.cache;
  const policy = policyOf(rule);
  const rules = new CacheRules({ policy, agents: new Map(agents), models: new Map(models), providers });
  const settings = { maxBytes, maxBytesPerTenant: maxBytesPerTenant ?? Infinity };
  return new AnswerCache(rules, settings, { ...world, metrics: world.metrics.cache });
}

async function sharedAnswersOf(
  redis: RedisConnection,
  { ring }: Vault,
  { config, metrics }: { readonly config: Config; readonly metrics: Metrics },
): Promise<SharedAnswers> {
  const { RedisAnswers } = await import('./redis/shared-answers.ts');
  const maxBytesPerTenant = config.cache.maxBytesPerTenant ?? Infinity;
  return new RedisAnswers(redis, ring, { maxBytesPerTenant, refused: () => metrics.cache.refused() });
}

/** Removes what is older than it is kept, once an hour. */
function keepTidy(store: Store, { retention }: Config, log: Log): NodeJS.Timeout {
  return setInterval(() => {
    store.removeOld(retention).then(
      (removed) => log.info({ event: 'old_rows_removed', ...removed }),
      (err: unknown) => log.error({ event: 'old_rows_not_removed', err }),
    );
  }, tidyMs).unref();
}

function backupsOf(config: Config, dataFolder: string, log: Log): BackupService {
  const { masterKey } = config.security;
  const settings = backupSettings(config, { dataFolder, masterKey, program: manifest.version });
  return new BackupService(settings, systemClock, {
    done: (backup) => log.info({ event: 'backup_done', backup: backup.name, bytes: backup.bytes, rows: backup.rows }),
    failed: (err) => log.error({ event: 'backup_failed', err }),
  });
}

/** Budgets' alerts: into the log, and to the webhook where there is one, which is tried three times. */
function budgetAlerts(config: Config, guard: EgressGuard, log: Log): (alert: BudgetAlert) => void {
  const { webhook } = config.limiting;
  const outgoing = guardedFetch(guard);
  const send = async (url: Secret<string>, alert: BudgetAlert, tries: number): Promise<void> => {
    try {
      const body = JSON.stringify(alert);
      const headers = { 'content-type': 'application/json' };
      const answer = await outgoing({
        url: url.reveal(),
        method: 'POST',
        headers,
        body,
        namedBy: 'config',
        maxBytes: 65_536,
        deadlineMs: 10_000,
      });
      if (answer.status >= 300) throw new Error(`The webhook answered ${answer.status}.`);
    } catch (err) {
      if (tries <= 1) log.error({ event: 'budget_alert_failed', budget: alert.budget, percent: alert.percent, err });
      else setTimeout(() => void send(url, alert, tries - 1), webhookPauseMs).unref();
    }
  };
  return (alert) => {
    log.warn({ ...alert, event: 'budget_alert' });
    if (webhook !== null) void send(webhook, alert, 3);
  };
}

/** How all instances are doing, for the metrics. */
function* instanceStates(models: Models): Generator<InstanceState> {
  for (const { pool } of models.list()) {
    for (const { instance, health } of pool.views()) {
      const isUp = health.state === 'healthy' || health.state === 'returning';
      yield { instance: instance.id, model: pool.model.label, isUp, inFlight: instance.figures.inFlight };
    }
  }
}

function storeEvents(log: Log): StoreEvents {
  return {
    failed: (err) => log.error({ event: 'request_log_failed', err }),
    recovered: () => log.info({ event: 'request_log_recovered' }),
    dropped: (record) => log.error({ event: 'request_log_row_dropped', requestId: record.id }),
    away: (reason) => log.error({ event: 'database_away', reason }),
    back: () => log.info({ event: 'database_back' }),
  };
}

function payloadEvents(log: Log): PayloadEvents {
  return {
    failed: (err) => log.error({ event: 'payloads_failed', err }),
    recovered: () => log.info({ event: 'payloads_recovered' }),
    dropped: (count) => log.error({ event: 'payloads_dropped', count }),
  };
}

function redisEvents(log: Log): RedisEvents {
  return {
    away: (reason) => log.error({ event: 'redis_away', reason }),
    back: () => log.info({ event: 'redis_back' }),
    refused: (reason) => log.error({ event: 'redis_refused', reason }),
  };
}

function auditLogEvents(log: Log): AuditLogEvents {
  return {
    failed: (err) => log.error({ event: 'audit_log_failed', err }),
    recovered: () => log.info({ event: 'audit_log_recovered' }),
    dropped: (action) => log.error({ event: 'audit_log_entry_dropped', action }),
  };
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
