import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { Failure } from '../../core/failure.ts';
import type { Quota } from '../../core/quota.ts';
import type { Random } from '../../core/random.ts';
import type { Exclusion } from './exclusion.ts';
import { inability, isUnable } from './exclusion.ts';
import type { HealthSettings, HealthView } from './health.ts';
import { Health } from './health.ts';
import { LiveFigures } from './live-figures.ts';
import type { Choice, Instance, Model, Needs } from './model.ts';
import type { Standing } from '../queue/fair-line.ts';
import type { Look, WaitersSettings } from './waiters.ts';
import { Waiters } from './waiters.ts';

/** What a request came to, as far as its instance is concerned. */
export interface LeaseResult {
  readonly failure: Failure | null;
  /** From the start of the attempt to its first token, or to its whole answer, in ms; `null` where none came. */
  readonly latencyMs: number | null;
  /** Input and output together; `null` where nobody counted. */
  readonly tokens: number | null;
  readonly quota: Quota | null;
}

/** An instance that was chosen for one request. It counts as in flight until it is given back, once. */
export interface Lease {
  readonly instance: Instance;
  readonly isProbe: boolean;
  release(result: LeaseResult): void;
}

/** No instance can be asked now, and why each can't. */
export interface Unavailable {
  readonly exclusions: readonly Exclusion[];
}

export interface PoolSettings {
  readonly health: HealthSettings;
  /** Requests that may wait while every instance has as many in flight as it may, and for how long. */
  readonly queue: WaitersSettings;
}

export const defaultQueue = { max: 100, waitMs: 10_000 };

/** An instance as the config has it: everything but how it is doing. */
export type InstanceSettings = Omit<Instance, 'figures'>;

interface Member {
  readonly instance: Instance;
  readonly health: Health;
  readonly figures: LiveFigures;
}

/** How many ms a caller is told to wait where nobody can know better. */
const fallbackRetryMs = 1000;

/** A model's instances with their health and figures: who may be asked, who is, and who waits. */
export class Pool {
  readonly model: Model;
  readonly #members: readonly Member[];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #waiters: Waiters<Lease | Unavailable>;

  constructor(
    model: Omit<Model, 'instances'> & { readonly instances: readonly InstanceSettings[] },
    settings: PoolSettings,
    { clock, random }: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#members = model.instances.map((instance) => {
      const health = new Health(settings.health);
      const figures = new LiveFigures(instance, health);
      return { instance: { ...instance, figures }, health, figures };
    });
    this.model = { ...model, instances: this.#members.map(({ instance }) => instance) };
    this.#clock = clock;
    this.#random = random;
    this.#waiters = new Waiters(settings.queue);
  }

  /** How every instance is doing. */
  views(): readonly { readonly instance: Instance; readonly health: HealthView }[] {
    const now = this.#clock.monotonic();
    return this.#members.map(({ instance, health }) => ({ instance, health: health.view(now) }));
  }

  /**
   * What somebody who looks after the instances of all processes found. The last instance that is in use stays in use,
   * whatever they say.
   * @param isDown Whether it is proven that it doesn't answer.
   */
  heard(instanceId: string, found: { readonly isDown: boolean; readonly reason: string }): void {
    const member = this.#members.find(({ instance }) => instance.id === instanceId);
    if (member === undefined) return;
    const now = this.#clock.monotonic();
    if (!found.isDown) {
      member.health.heardUp(now);
      this.#waiters.serve(Number.POSITIVE_INFINITY);
    } else if (this.#members.some((other) => other !== member && !other.health.isOut)) {
      member.health.heardDown(found.reason, now);
    }
  }

  /** Requests that wait for an instance. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Chooses an instance for a request, without waiting: after those who wait. `tried` are left out. */
  acquire(needs: Needs, tried: ReadonlySet<Instance>): Lease | Unavailable {
    // Time alone may have made room, and nobody has looked yet.
    if (this.#waiters.size > 0 && this.#hasRoom(needs, tried)) this.#waiters.serve(Number.POSITIVE_INFINITY);
    return this.#acquire(needs, tried);
  }

  #hasRoom(needs: Needs, tried: ReadonlySet<Instance>): boolean {
    return this.#sift(needs, tried, this.#clock.monotonic()).choice.candidates.length > 0;
  }

  #acquire(needs: Needs, tried: ReadonlySet<Instance>): Lease | Unavailable {
    const now = this.#clock.monotonic();
    const { choice, exclusions } = this.#sift(needs, tried, now);
    if (choice.candidates.length === 0) return { exclusions };
    const { strategy } = this.model;
    const instance = strategy.choose(choice);
    strategy.took?.(instance, choice);
    return this.#lease(instance, needs, now);
  }

  /**
   * The same, in line with those who wait already, while an instance that could answer has its hands full.
   * @throws MizanError `overloaded` where the queue is full or waiting took too long; `client_closed` on `signal`.
   */
  async acquireInTurn(
    needs: Needs,
    tried: ReadonlySet<Instance>,
    { signal, ...standing }: Standing & { readonly signal: AbortSignal },
  ): Promise<Lease | Unavailable> {
    const first = this.acquire(needs, tried);
    if (!isBusy(first)) return first;
    const look = (): Look<Lease | Unavailable> => {
      const found = this.#acquire(needs, tried);
      return isBusy(found) ? { againMs: againOf(found) } : { got: found };
    };
    const { waitMs: limitMs } = this.#waiters;
    const woken = await this.#waiters.wait({ ...standing, look, againMs: againOf(first), limitMs, signal });
    if (woken === 'aborted') throw new MizanError('client_closed', 'The caller went away.');
    if (typeof woken === 'object') return woken.got;
    throw new MizanError('overloaded', `Every instance of "${this.model.id}" is busy, and ${queueWords[woken]}.`, {
      retryAfterMs: fallbackRetryMs,
    });
  }

  /** Who would be asked and in which order, and who wouldn't. Nothing is sent and nothing changes. */
  explain(needs: Needs): { readonly order: readonly Instance[]; readonly exclusions: readonly Exclusion[] } {
    const now = this.#clock.monotonic();
    const { choice, exclusions } = this.#sift(needs, new Set(), now);
    const order: Instance[] = [];
    let candidates = choice.candidates;
    while (candidates.length > 0) {
      const next = this.model.strategy.choose({ ...choice, candidates });
      order.push(next);
      candidates = candidates.filter((instance) => instance !== next);
    }
    return { order, exclusions };
  }

  /** What a caller is told where no instance can be asked. */
  refusal({ exclusions }: Unavailable, needs: Needs): MizanError {
    const { id } = this.model;
    const unable = exclusions.filter(isUnable);
    if (exclusions.length > 0 && unable.length === exclusions.length) {
      const longest = Math.max(...exclusions.map(({ instance }) => instance.contextLength ?? 0));
      const wanted = needs.inputTokens + (needs.maxOutputTokens ?? 0);
      return unable.some(({ reason }) => reason === 'too_long')
        ? new MizanError(
            'context_length_exceeded',
            `About ${wanted} tokens are needed, and "${id}" takes ${longest} at the most.`,
            { param: 'messages' },
          )
        : new MizanError('unsupported_by_model', `No instance of "${id}" can: ${unable[0]?.detail ?? ''}.`);
    }
    const times = exclusions.flatMap(({ againMs }) => (againMs === null ? [] : [againMs]));
    const retryAfterMs = times.length === 0 ? fallbackRetryMs : Math.max(1, Math.min(...times));
    const isFull = exclusions.some(({ reason }) => reason === 'rate');
    return isFull
      ? new MizanError('overloaded', `Every instance of "${id}" is at its limits.`, { retryAfterMs })
      : new MizanError('no_healthy_instance', `The model "${id}" has no instance that could answer.`, { retryAfterMs });
  }

  #sift(
    needs: Needs,
    tried: ReadonlySet<Instance>,
    now: number,
  ): { readonly choice: Choice; readonly exclusions: readonly Exclusion[] } {
    const candidates: Instance[] = [];
    const exclusions: Exclusion[] = [];
    for (const member of this.#members) {
      const exclusion = this.#exclusion(member, { needs, tried, now });
      if (exclusion === null) candidates.push(member.instance);
      else exclusions.push(exclusion);
    }
    return { choice: { candidates, needs, now, random: this.#random }, exclusions };
  }

  #exclusion(
    { instance, health, figures }: Member,
    request: { readonly needs: Needs; readonly tried: ReadonlySet<Instance>; readonly now: number },
  ): Exclusion | null {
    const { needs, tried, now } = request;
    if (tried.has(instance)) return { instance, reason: 'tried', detail: 'it was asked already', againMs: null };
    const unable = inability(instance, needs);
    if (unable !== null) return unable;
    if (!health.admits(now)) {
      const { state, reason, nextTryMs } = health.view(now);
      const out = state === 'probing' ? 'probing' : (state as 'ejected' | 'paused' | 'locked');
      return { instance, reason: out, detail: reason ?? '', againMs: nextTryMs };
    }
    if (instance.maxInFlight !== null && figures.inFlight >= instance.maxInFlight) {
      return { instance, reason: 'max_in_flight', detail: `${figures.inFlight} requests are in flight`, againMs: null };
    }
    if ((instance.rpm !== null || instance.tpm !== null) && !figures.hasRoomFor(needs.inputTokens, now)) {
      return { instance, reason: 'rate', detail: 'its requests or tokens per minute are used up', againMs: 5000 };
    }
    return null;
  }

  #lease(instance: Instance, needs: Needs, now: number): Lease {
    const member = this.#members.find((other) => other.instance === instance);
    if (member === undefined) throw new MizanError('internal', 'A strategy chose an instance of another model.');
    const { health, figures } = member;
    const isProbe = health.started();
    const estimate = instance.tpm === null ? 0 : needs.inputTokens;
    figures.requestSent(now, estimate);
    let isReleased = false;
    return {
      instance,
      isProbe,
      release: ({ failure, latencyMs, tokens, quota }) => {
        if (isReleased) return;
        isReleased = true;
        const then = this.#clock.monotonic();
        figures.requestEnded(then, tokens === null || instance.tpm === null ? 0 : tokens - estimate);
        if (latencyMs !== null) figures.answeredAfter(latencyMs, needs.kind, then);
        if (quota !== null) figures.quotaSaid(quota, then);
        const wasOut = health.isOut;
        const isLast = this.#members.every((other) => other === member || other.health.isOut);
        health.ended(failure, { isProbe, isLast, now: then });
        // Where an instance is out of use, or in use again, more than one who waits has to know.
        this.#waiters.serve(wasOut || health.isOut ? Number.POSITIVE_INFINITY : 1);
      },
    };
  }
}

/** Whether waiting for a request to end can help. */
function isBusy(found: Lease | Unavailable): found is Unavailable {
  return 'exclusions' in found && found.exclusions.some(({ reason }) => reason === 'max_in_flight');
}

/** When time alone may have made room, in ms from now. What waits for a probe is told by the probe's end. */
function againOf({ exclusions }: Unavailable): number | null {
  const times = exclusions.flatMap(({ againMs }) => (againMs === null || againMs <= 0 ? [] : [againMs]));
  return times.length === 0 ? null : Math.min(...times);
}

const queueWords = { full: 'the queue before them is full', 'too late': 'none became free in time' } as const;
