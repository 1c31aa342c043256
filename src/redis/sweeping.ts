import type { Redis } from 'ioredis';
import type { Freed } from '../core/response-cache.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';

/** Keys that are looked at in one step. */
const step = 200;

/** How often a step is tried where Redis doesn't answer, and how long is waited in between, in ms. */
const tries = { most: 30, pauseMs: 100 };

/** A key as it is looked at. Looking is not using: what Redis knows of its last use stays. */
export interface Seen {
  readonly name: string;
  /** In bytes, with what Redis needs beside the value. */
  readonly bytes: number;
  /** In ms; -1 for none. */
  readonly ttl: number;
  /** Since its last use, in s. */
  readonly idle: number;
}

export interface Sweep {
  readonly pattern: string;
  readonly isUseless: (key: Seen) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Looks at the keys of a pattern in small steps and removes some.
 * @returns Whether it came to the end; not where Redis did not answer for some seconds, or the signal says so.
 */
export async function sweep(
  redis: RedisConnection,
  { pattern, isUseless, signal }: Sweep,
): Promise<Freed & { readonly complete: boolean }> {
  const freed = { entries: 0, bytes: 0 };
  let cursor = '0';
  do {
    const at = cursor;
    const scanned = await patiently(redis, signal, (client) => client.scan(at, 'MATCH', pattern, 'COUNT', step));
    if (scanned === away) return { ...freed, complete: false };
    const [next, names] = scanned;
    cursor = next;
    const seen = names.length === 0 ? [] : await seenOf(redis, names, signal);
    if (seen === away) return { ...freed, complete: false };
    const useless = seen.filter(isUseless);
    if (useless.length === 0) continue;
    const gone = useless.map(({ name }) => name);
    if ((await patiently(redis, signal, (client) => client.unlink(...gone))) === away) {
      return { ...freed, complete: false };
    }
    freed.entries += useless.length;
    freed.bytes += useless.reduce((sum, { bytes }) => sum + bytes, 0);
  } while (cursor !== '0' && !signal.aborted);
  return { ...freed, complete: cursor === '0' };
}

async function seenOf(
  redis: RedisConnection,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Seen[] | typeof away> {
  const facts = await patiently(redis, signal, (client) => {
    const asking = client.pipeline();
    // Without SAMPLES 0 a stream's size is a guess from a few of its pieces, which will do.
    for (const name of names) asking.call('OBJECT', ['IDLETIME', name]).call('MEMORY', ['USAGE', name]).pttl(name);
    return asking.exec();
  });
  if (facts === away) return away;
  return names.map((name, i) => {
    const [idle, bytes, ttl] = [0, 1, 2].map((n) => Number(facts?.[3 * i + n]?.[1]));
    return { name, bytes: bytes || 0, ttl: Number.isNaN(ttl) ? -2 : (ttl ?? -2), idle: idle || 0 };
  });
}

/** Asks until there is an answer, for some seconds. */
async function patiently<T>(
  redis: RedisConnection,
  signal: AbortSignal,
  question: (client: Redis) => Promise<T>,
): Promise<T | typeof away> {
  for (let i = 0; ; i++) {
    const answer = await redis.ask(question);
    if (answer !== away || i >= tries.most || signal.aborted) return answer;
    await new Promise((resolve) => setTimeout(resolve, tries.pauseMs));
  }
}

/** Rather than what belongs to a call that is under way. */
const isValue = (name: string): boolean => name.endsWith('}');

/** Ages that are told apart, a step for each 9 %. */
function ageOf(idle: number): number {
  return Math.floor(Math.log2(1 + idle) * 8);
}

/** What one tenant has, by how long it was not used. */
interface Holding {
  bytes: number;
  readonly byAge: number[];
}

/**
 * Removes what a tenant has more than it may: what was used least lately. It looks twice and remembers sums only, so
 * that it takes no memory to speak of however much there is.
 */
export async function trimTenants(
  redis: RedisConnection,
  {
    pattern,
    tenantOf,
    maxBytes,
    signal,
  }: {
    readonly pattern: string;
    readonly tenantOf: (name: string) => string;
    readonly maxBytes: number;
    readonly signal: AbortSignal;
  },
): Promise<Freed> {
  const holdings = new Map<string, Holding>();
  const count = ({ name, bytes, idle }: Seen): false => {
    if (!isValue(name)) return false;
    const tenant = tenantOf(name);
    const holding = holdings.get(tenant) ?? { bytes: 0, byAge: [] };
    holdings.set(tenant, holding);
    holding.bytes += bytes;
    holding.byAge[ageOf(idle)] = (holding.byAge[ageOf(idle)] ?? 0) + bytes;
    return false;
  };
  const { complete } = await sweep(redis, { pattern, isUseless: count, signal });
  const limits = new Map<string, { readonly age: number; left: number }>();
  for (const [tenant, { bytes, byAge }] of holdings) {
    if (bytes > maxBytes) limits.set(tenant, limitOf(byAge, bytes - maxBytes));
  }
  if (!complete || limits.size === 0) return { entries: 0, bytes: 0 };
  const isUseless = ({ name, bytes, idle }: Seen): boolean => {
    const limit = limits.get(tenantOf(name));
    const age = ageOf(idle);
    if (limit === undefined || age < limit.age || !isValue(name)) return false;
    if (age > limit.age) return true;
    limit.left -= bytes;
    return limit.left + bytes > 0;
  };
  const { entries, bytes } = await sweep(redis, { pattern, isUseless, signal });
  return { entries, bytes };
}

/** From which age on everything goes, and how much of that age itself. */
function limitOf(byAge: readonly number[], excess: number): { readonly age: number; left: number } {
  let left = excess;
  for (let age = byAge.length - 1; age >= 0; age--) {
    const bytes = byAge[age] ?? 0;
    if (bytes >= left) return { age, left };
    left -= bytes;
  }
  return { age: 0, left };
}
