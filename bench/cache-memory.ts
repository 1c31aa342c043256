import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { CachedAnswer } from '../src/core/response-cache.ts';
import { MemoryTier } from '../src/flow/cache/memory-tier.ts';

// Does the cache stay within the memory that it may have, over a million distinct answers? And what does an entry take
// beside its body? Run with --expose-gc, so that garbage isn't counted.

const flags = {
  answers: { type: 'string', default: '1000000' },
  mebibytes: { type: 'string', default: '64' },
  bytes: { type: 'string', default: '0' },
} as const;

const usage = {
  inputTokens: 212,
  outputTokens: 96,
  cachedInputTokens: null,
  reasoningTokens: 0,
  costUsd: 0.0001,
  source: 'upstream',
} as const;

/** In bytes: what is alive, and what the process has of the machine. */
function memory(): { readonly used: number; readonly resident: number } {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  return { used: heapUsed + Math.max(external, arrayBuffers), resident };
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** From 200 bytes to 6 KB, or always the same. */
function bodyOf(i: number, fixed: number): Buffer {
  const length = fixed > 0 ? fixed : 200 + ((i * 7919) % 5800);
  return Buffer.from(`{"n":${i},"text":"${'x'.repeat(length)}"}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: flags });
  const maxBytes = Number(values.mebibytes) * 2 ** 20;
  const count = Number(values.answers);
  const tier = new MemoryTier({ maxBytes, maxBytesPerTenant: Infinity });
  const before = memory();
  let most = 0;
  let mostResident = 0;
  for (let i = 0; i < count; i++) {
    const now = Date.now();
    const answer: CachedAnswer = {
      kind: 'json',
      body: bodyOf(i, Number(values.bytes)),
      usageEvent: Buffer.alloc(0),
      usage: { ...usage, inputTokens: i },
      finishReason: 'stop',
      model: 'fast',
      instance: 'a',
      provider: 'p',
      storedAt: now,
      freshUntil: now + 3_600_000,
      refreshUntil: now + 3_600_000,
      rescueUntil: now + 3_600_000,
    };
    const hash = String(i).padStart(43, '0');
    tier.set({ hash, tenant: `tenant-${i % 50}`, agent: null, model: 'fast' }, answer);
    if (i % 50_000 !== 49_999) continue;
    await new Promise((resolve) => setImmediate(resolve));
    const { used, resident } = memory();
    most = Math.max(most, used - before.used);
    mostResident = Math.max(mostResident, resident - before.resident);
  }
  const { entries, bytes } = tier.holding();
  const share = ((most / maxBytes) * 100).toFixed(1);
  process.stdout.write(
    `${count} answers, ${entries} of them kept, counted as ${mib(bytes)} of ${mib(maxBytes)} MiB.\n` +
      `At most ${mib(most)} MiB were in use (${share} %), ${mib(mostResident)} MiB resident beyond the start.\n` +
      `An entry takes ${((most - bytes) / entries).toFixed(0)} bytes more than it is counted for.\n`,
  );
  if (most > maxBytes * 1.1) process.exitCode = 1;
}

await main();
