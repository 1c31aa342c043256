import { catalogue } from '../providers/catalogue.ts';
import type { CatalogueRow } from '../providers/catalogue.ts';
import { issuerOf } from './auth-schema.ts';
import type { AgentConfig, Config, LogLevel, MasterKeyConfig, ModelConfig, ProviderConfig } from './config.ts';
import { scheduleOf } from './schedule.ts';
import { budgetRules, limitRules } from './limit-schema.ts';
import type { FileConfig } from './schema.ts';

type Entry<K extends 'providers' | 'models' | 'agents'> = FileConfig[K][string];

/** A copy without a prototype, so that a look-up by a caller's name finds only what is configured. */
function backupOf({ backup, egress }: FileConfig): Config['backup'] {
  const { dir, s3 } = backup;
  return {
    ...backup,
    dir: dir === '' ? null : dir,
    s3: s3 === undefined ? null : { ...s3, egressAllow: egress.allow },
  };
}

function record<In, Out>(from: Readonly<Record<string, In>>, map: (value: In) => Out): Readonly<Record<string, Out>> {
  const to = Object.create(null) as Record<string, Out>;
  for (const [key, value] of Object.entries(from)) to[key] = map(value);
  return to;
}

export function masterKeyOf(given: FileConfig['security']['masterKey']): MasterKeyConfig {
  return { ...given, command: given.command ?? null, file: given.file ?? null };
}

function providerOf(provider: Entry<'providers'>): ProviderConfig {
  if (provider.kind === 'simulator') {
    const { kind, ...options } = provider;
    return { kind, options };
  }
  const row: CatalogueRow = catalogue[provider.kind];
  return {
    kind: provider.kind,
    apiKey: provider.apiKey,
    baseUrl: provider.baseUrl ?? row.baseUrl ?? '',
    headers: Object.fromEntries(Object.entries(provider.headers).map(([key, value]) => [key.toLowerCase(), value])),
    prices: record(provider.prices, (price) => price),
  };
}

function modelOf(model: Entry<'models'>): ModelConfig {
  const { hedge } = model;
  return {
    ...model,
    cache: model.cache ?? {},
    instances: model.instances.map((instance) => ({
      ...instance,
      maxInFlight: instance.maxInFlight ?? null,
      rpm: instance.rpm ?? null,
      tpm: instance.tpm ?? null,
      contextLength: instance.contextLength ?? null,
      maxOutputTokens: instance.maxOutputTokens ?? null,
      price: instance.price ?? null,
    })),
    hedge: hedge === undefined ? null : { afterMs: hedge.afterMs ?? null, maxShare: hedge.maxShare },
  };
}

function agentOf(agent: Entry<'agents'>, payloads: FileConfig['payloads']): AgentConfig {
  return {
    ...agent,
    system: agent.system ?? null,
    cache: agent.cache ?? {},
    description: agent.description ?? null,
    payloads: { ...payloads, ...agent.payloads },
  };
}

/** From what was read and checked to what the rest of Mizan works with. */
export function resolveConfig(
  read: FileConfig,
  facts: { readonly file: string | null; readonly level: LogLevel; readonly notes: readonly string[] },
): Config {
  const names = Object.keys(read.agents);
  return {
    file: facts.file,
    server: read.server,
    log: { level: facts.level },
    database: read.database,
    redis: read.redis,
    auth: { jwt: read.auth.jwt, issuers: read.auth.issuers.map(issuerOf) },
    security: { masterKey: masterKeyOf(read.security.masterKey) },
    egress: read.egress,
    providers: record(read.providers, providerOf),
    models: record(read.models, modelOf),
    agents: record(read.agents, (agent) => agentOf(agent, read.payloads)),
    defaultAgent: read.defaultAgent ?? (names.includes('assistant') ? 'assistant' : (names[0] ?? null)),
    limits: limitRules(read.limits),
    budgets: budgetRules(read.budgets),
    limiting: read.limiting,
    payloads: read.payloads,
    retention: read.retention,
    cache: { ...read.cache, maxBytesPerTenant: read.cache.maxBytesPerTenant ?? null },
    backup: backupOf(read),
    schedule: scheduleOf(read.schedule),
    notes: facts.notes,
  };
}
