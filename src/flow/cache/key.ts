import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { canonicalJson, exactValue } from '../../core/canonical-json.ts';
import type { PreparedChat } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { Principal } from '../../core/principal.ts';
import type { CacheKey } from '../../core/response-cache.ts';
import type { CacheRule } from './policy.ts';

/**
 * Members of a request that can't change what is answered. Everything else is part of the key, and so is whatever
 * nobody here knows.
 */
const without: ReadonlySet<string> = new Set([
  // The instance's own name is sent in its place; the model is part of the key by its id and its definition.
  'model',
  // How the answer comes, not what it is: one is made of the other.
  'stream',
  // Notes for the request log, and for the upstream's own.
  'metadata',
  // Who asks, for the upstream's watch on abuse and for its prompt cache. Identities are the tenant's affair here.
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'session_id',
]);

/** What keys are made of; another number where that changes. */
const format = 1;

/** The key of a request: SHA-256 over whose it is, the agent, the model and all that is asked. */
export function cacheKeyOf(
  principal: Principal,
  request: { readonly agent: string | null; readonly model: string; readonly chat: PreparedChat },
  rule: CacheRule,
): CacheKey {
  const { tenant } = principal;
  const { agent, model, chat } = request;
  const who = JSON.stringify([format, tenant, rule.policy.isPrivate ? identityOf(principal) : null, model]);
  const asked = canonicalRequest(exactValue(chat.body), rule.params);
  return { hash: hash('sha256', `${who}${rule.origin}${asked}`, 'base64url'), tenant, agent, model };
}

/** Requests whose spelling is remembered may be so long, and all of them together; in characters. */
const spellings = { longest: 8 * 1024, all: 1024 * 1024 };

/**
 * The keys of requests that were found, by how they are spelled: whoever asks the same twice mostly does so to the
 * letter, and then a look-up by the text itself is a good deal cheaper than the key.
 */
export class Spellings {
  readonly #keys = new LRUCache<string, CacheKey>({
    maxSize: spellings.all,
    sizeCalculation: (_key, spelling) => Math.max(1, spelling.length),
  });

  /** All that the key depends on, to the letter; `null` for what is too long. Two of one spelling have one key. */
  spell(
    principal: Principal,
    request: { readonly model: string; readonly chat: PreparedChat },
    rule: CacheRule,
  ): string | null {
    const { text } = request.chat.body;
    if (text.length > spellings.longest) return null;
    const who = rule.policy.isPrivate ? identityOf(principal).join(':') : '';
    const { tenant } = principal;
    const { model } = request;
    return `${tenant.length}:${tenant}${who.length}:${who}${model.length}:${model}${rule.origin}${text}`;
  }

  find(spelling: string): CacheKey | undefined {
    return this.#keys.get(spelling);
  }

  remember(spelling: string, key: CacheKey): void {
    this.#keys.set(spelling, key);
  }
}

/** An API key by its id, since names are not its own; whoever has a token by its subject, since tokens change. */
function identityOf({ via, credential, subject }: Principal): readonly (string | null)[] {
  return via === 'api-key' ? [via, credential] : [via, subject];
}

/** The request as it will be sent, with the agent's parameters; its system prompt is in the agent's version. */
function canonicalRequest(body: JsonObject, params: JsonObject): string {
  const kept = Object.create(null) as Record<string, unknown>;
  for (const member of Object.keys(params)) if (!without.has(member)) kept[member] = params[member];
  for (const member of Object.keys(body)) if (!without.has(member)) kept[member] = body[member];
  const options = streamOptions(kept['stream_options']);
  if (options === null) delete kept['stream_options'];
  else kept['stream_options'] = options;
  return canonicalJson(kept);
}

/** All of them but for whether the usage is told at the end; `null` where nothing is left. */
function streamOptions(given: unknown): JsonObject | null {
  if (typeof given !== 'object' || given === null) return null;
  const { include_usage: _, ...options } = given as JsonObject;
  return Object.keys(options).length === 0 ? null : options;
}
