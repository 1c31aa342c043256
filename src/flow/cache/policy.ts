import { hash } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.ts';
import type { JsonObject } from '../../core/json-document.ts';

/** What is cached, how long, and for whom. Times in ms. */
export interface CachePolicy {
  /** `deterministic`: where the temperature is 0 or a seed is given. */
  readonly when: 'off' | 'deterministic' | 'always';
  /** Kept for each identity by itself, rather than for all of a tenant. */
  readonly isPrivate: boolean;
  readonly ttlMs: number;
  /** Answers that call tools are kept, too. */
  readonly keepsToolCalls: boolean;
  /** After its time, for so long an answer is served while another is fetched. */
  readonly revalidateMs: number;
  /** After its time, for so long an answer is served where no other can be had. */
  readonly rescueMs: number;
  /** Between the pieces of a replayed stream; 0 for all at once. */
  readonly paceMs: number;
}

/** What one agent does differently from its model, or one model from all others. */
export type CachePolicyPart = Partial<CachePolicy>;

/** What the cache has to know of an agent or a model. */
export interface CachedPart {
  /** Changes with its definition: what was cached before is not found any more. */
  readonly version: string;
  readonly policy: CachePolicyPart;
}

/** What holds for one agent with one model. */
export interface CacheRule {
  readonly policy: CachePolicy;
  /** Names and versions of both. */
  readonly origin: string;
  /** The agent's parameters, which hold where a request doesn't set them. */
  readonly params: JsonObject;
}

/** The version of something that is defined so: another where anything about it is. */
export function versionOf(definition: unknown): string {
  return hash('sha256', canonicalJson(definition), 'base64url');
}

interface Known {
  readonly policy: CachePolicy;
  readonly agents: ReadonlyMap<string, CachedPart & { readonly params: JsonObject }>;
  readonly models: ReadonlyMap<string, CachedPart>;
  /** Versions of providers, for models that are called directly. */
  readonly providers: ReadonlyMap<string, string>;
}

const noParams: JsonObject = {};

/** The rules of the configuration, one for each agent with its model and one for each model by itself. */
export class CacheRules {
  readonly #known: Known;
  /** By model, and by agent below it. What is called directly shares one for each provider. */
  readonly #rules = new Map<string, Map<string | null, CacheRule>>();

  constructor(known: Known) {
    this.#known = known;
  }

  /** @param model Its id, or `provider/upstream-model`. */
  find(agent: string | null, model: string): CacheRule {
    const place = this.#known.models.has(model) ? model : `${model.slice(0, model.indexOf('/'))}/`;
    let rules = this.#rules.get(place);
    if (rules === undefined) this.#rules.set(place, (rules = new Map()));
    let rule = rules.get(agent);
    if (rule === undefined) rules.set(agent, (rule = this.#make(agent, place)));
    return rule;
  }

  #make(agentName: string | null, place: string): CacheRule {
    const { policy, agents, models, providers } = this.#known;
    const model = models.get(place) ?? { version: providers.get(place.slice(0, -1)) ?? '', policy: {} };
    const agent = agentName === null ? undefined : agents.get(agentName);
    return {
      policy: { ...policy, ...model.policy, ...agent?.policy },
      origin: JSON.stringify([agentName, agent?.version ?? null, place, model.version]),
      params: agent?.params ?? noParams,
    };
  }
}

/** As the configuration has it: times in seconds, but for the pace. */
interface WrittenRule {
  readonly when?: CachePolicy['when'];
  readonly private?: boolean;
  readonly ttl?: number;
  readonly toolCalls?: boolean;
  readonly staleWhileRevalidate?: number;
  readonly staleIfError?: number;
  readonly paceMs?: number;
}

/** Of a whole rule a whole policy, of a part what it has. */
export function policyOf(rule: Required<WrittenRule>): CachePolicy;
export function policyOf(rule: WrittenRule): CachePolicyPart;
export function policyOf(rule: WrittenRule): CachePolicyPart {
  const { when, private: isPrivate, ttl, toolCalls, staleWhileRevalidate, staleIfError, paceMs } = rule;
  return {
    ...(when !== undefined && { when }),
    ...(isPrivate !== undefined && { isPrivate }),
    ...(ttl !== undefined && { ttlMs: ttl * 1000 }),
    ...(toolCalls !== undefined && { keepsToolCalls: toolCalls }),
    ...(staleWhileRevalidate !== undefined && { revalidateMs: staleWhileRevalidate * 1000 }),
    ...(staleIfError !== undefined && { rescueMs: staleIfError * 1000 }),
    ...(paceMs !== undefined && { paceMs }),
  };
}
