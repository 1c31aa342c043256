import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, onTestFinished, vi } from 'vitest';
import type { RedisServer } from '../../test/support/redis.ts';
import { startRedis } from '../../test/support/redis.ts';
import type { CachedAnswer, CacheKey } from '../core/response-cache.ts';
import { Secret } from '../core/secret.ts';
import { unknownUsage } from '../core/usage.ts';
import type { Store } from '../store/index.ts';
import { openStore } from '../store/index.ts';
import { RedisConnection } from './connection.ts';
import { RedisAnswers } from './shared-answers.ts';

/** How long is waited for what a busy machine needs time for, in ms. */
export const slow = { timeout: 30_000, interval: 10 };

/** A Redis that is empty before each test, a store, and processes that share answers over them. */
export class SharedStage {
  server!: RedisServer;
  store!: Store;
  client!: Redis;
  #folder = '';

  constructor() {
    vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
    beforeAll(async () => {
      this.server = await startRedis();
      this.client = new Redis(this.server.url);
      this.#folder = mkdtempSync(join(tmpdir(), 'mizan-test-'));
      this.store = await openStore({ folder: this.#folder, url: null });
    });
    afterAll(async () => {
      this.client.disconnect();
      await this.store.close();
      rmSync(this.#folder, { recursive: true, force: true });
      await this.server.end();
    });
    beforeEach(async () => {
      await this.client.flushall();
    });
  }

  /** Answers as one process sees them. */
  async answers(maxBytesPerTenant = Infinity) {
    const redis = await RedisConnection.open(new Secret(this.server.url), { away() {}, back() {}, refused() {} });
    await vi.waitFor(() => {
      if (redis.trouble !== null) throw new Error(`Redis is not there: ${redis.trouble}`);
    }, slow);
    let refused = 0;
    const shared = new RedisAnswers(redis, this.store.vault.ring, {
      maxBytesPerTenant,
      unfinishedPurges: this.store.unfinishedPurges,
      refused: () => refused++,
    });
    const end = async (): Promise<void> => {
      await shared.close();
      redis.close();
    };
    onTestFinished(end);
    return { shared, end, refused: () => refused };
  }
}

export const keyOf = (hash: string, over: Partial<CacheKey> = {}): CacheKey => ({
  hash,
  tenant: 'acme',
  agent: null,
  model: 'fast',
  ...over,
});

export function answerOf(text: string): CachedAnswer {
  const now = Date.now();
  const times = { storedAt: now, freshUntil: now + 60_000, refreshUntil: now + 60_000, rescueUntil: now + 90_000 };
  return {
    kind: 'stream',
    body: Buffer.from(`data: ${text}\n\n`),
    usageEvent: Buffer.from('data: usage\n\n'),
    usage: { ...unknownUsage, inputTokens: 1, source: 'upstream' },
    finishReason: 'stop',
    model: 'fast',
    instance: 'a',
    provider: 'p',
    ...times,
  };
}

/** What was said, once it is there. */
export async function landed(
  shared: RedisAnswers,
  key: CacheKey,
  isWaiting = false,
  timeout = slow.timeout,
): Promise<CachedAnswer> {
  return vi.waitFor(
    async () => {
      const { found } = await shared.look(key, '', isWaiting);
      if (found === null) throw new Error('It is not there yet.');
      return found;
    },
    { ...slow, timeout },
  );
}

/** Keeps it, and comes back when it is there; once more where Redis had no time for it on a busy machine. */
export async function keep(shared: RedisAnswers, key: CacheKey, answer: CachedAnswer): Promise<CachedAnswer> {
  for (let i = 0; ; i++) {
    shared.land(key, 't', answer, true);
    const found = await landed(shared, key, false, 2000).catch((error: unknown) => {
      if (i > 10) throw error;
    });
    if (found !== undefined) return found;
  }
}

/** What a look comes to, once Redis has time for it: on a busy machine it may not have at first. */
export async function looked(shared: RedisAnswers, ...asked: Parameters<RedisAnswers['look']>) {
  return vi.waitFor(async () => {
    const look = await shared.look(...asked);
    if (look.found === null && look.turn === 'away') throw new Error('Redis had no time.');
    return look;
  }, slow);
}
