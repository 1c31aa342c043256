import type { Clock } from '../core/clock.ts';
import type { InstanceCheck, InstanceChecks, MinuteCount, ModelHealthStore } from '../core/model-health.ts';
import { isProven } from '../core/model-health.ts';
import type { Models } from '../flow/routing/models.ts';
import type { AttemptSums, Metrics } from '../telemetry/metrics.ts';

export interface WatchParts {
  readonly store: ModelHealthStore;
  readonly models: Models;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** How often it is read what others found, and how often it is written what came of attempts here; in ms. */
const often = { readMs: 5000, writeMs: 10_000 } as const;

/** A check that is older than this when it is first seen says nothing of now, in ms. */
const freshMs = 150_000;

/** How long the last figures may take to be written when a process ends, in ms. */
const lastMs = 1000;

const minuteMs = 60_000;

/**
 * What this process and all others know of the instances: it writes what came of its own attempts, reads what was found by
 * whoever looks after them, and lets routing know. All of it behind the requests; a store that is away is asked again.
 */
export class InstanceWatch implements InstanceChecks {
  readonly #parts: WatchParts;
  /** What of the attempts' sums was written. */
  readonly #written = new Map<string, AttemptSums>();
  /** By model and instance, as they were read last. */
  #checks = new Map<string, InstanceCheck>();
  #timers: readonly NodeJS.Timeout[] = [];
  #isWriting = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  start(): void {
    const quietly = (work: () => Promise<void>): (() => void) => {
      // The store itself tells of its troubles.
      return () => void work().catch(() => undefined);
    };
    this.#timers = [
      setInterval(
        quietly(() => this.read()),
        often.readMs,
      ).unref(),
      setInterval(
        quietly(() => this.write()),
        often.writeMs,
      ).unref(),
    ];
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    const late = new Promise<void>((resolve) => setTimeout(resolve, lastMs).unref());
    await Promise.race([this.write().catch(() => undefined), late]);
  }

  find(model: string, instance: string): InstanceCheck | undefined {
    return this.#checks.get(keyOf(model, instance));
  }

  all(): Iterable<InstanceCheck> {
    return this.#checks.values();
  }

  /** Takes over what was found since it was read last. @throws whatever the store throws. */
  async read(): Promise<void> {
    const { store, models, clock } = this.#parts;
    const before = this.#checks;
    const checks = new Map<string, InstanceCheck>();
    for (const check of await store.checks()) {
      const key = keyOf(check.model, check.instance);
      checks.set(key, check);
      const isNew = before.get(key)?.checkedAt !== check.checkedAt;
      if (!isNew || check.state === 'unknown' || Math.abs(clock.now() - check.checkedAt) > freshMs) continue;
      if (check.state === 'down' && !isProven(check)) continue;
      const reason = `Found by model-health: ${check.detail ?? 'it does not answer.'}`;
      models.served(check.model)?.pool.heard(check.instance, { isDown: check.state === 'down', reason });
    }
    this.#checks = checks;
  }

  /** Adds what came of attempts since that was written last. @throws whatever the store throws; then it is written later. */
  async write(): Promise<void> {
    if (this.#isWriting) return;
    const { store, models, metrics, clock } = this.#parts;
    const start = Math.floor(clock.now() / minuteMs) * minuteMs;
    const counts: MinuteCount[] = [];
    const read: (readonly [string, AttemptSums])[] = [];
    for (const sums of metrics.attempts()) {
      // Models that are called directly are nobody's instances.
      if (models.served(sums.model) === undefined) continue;
      const key = keyOf(sums.model, sums.instance);
      const { ok = 0, failed = 0, okMs = 0 } = this.#written.get(key) ?? {};
      const more = { ok: sums.ok - ok, failed: sums.failed - failed, okMs: sums.okMs - okMs };
      if (more.ok === 0 && more.failed === 0) continue;
      const { model, instance } = sums;
      counts.push({ model, instance, start, ...more, asked: 0, unanswered: 0 });
      read.push([key, sums]);
    }
    if (counts.length === 0) return;
    this.#isWriting = true;
    try {
      await store.add(counts);
      for (const [key, sums] of read) this.#written.set(key, sums);
    } finally {
      this.#isWriting = false;
    }
  }
}

function keyOf(model: string, instance: string): string {
  return JSON.stringify([model, instance]);
}
