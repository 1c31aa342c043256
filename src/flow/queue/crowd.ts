import { priorities } from '../../core/priority.ts';
import type { Priority } from '../../core/priority.ts';
import type { Standing, Weights } from './fair-line.ts';
import { weightOf } from './fair-line.ts';

export interface CrowdSettings {
  /** How many may wait, in all and of one tenant. */
  readonly max: number;
  readonly maxPerTenant: number;
  readonly weights: Weights;
}

/** What waits of one tenant, by class. */
type Own<T> = Readonly<Record<Priority, Set<T>>> & { size: number };

/**
 * Everyone who waits, wherever. There is only so much room; where it is full, whoever came last of those who have most
 * of it goes, so that a burst has its own to blame.
 */
export class Crowd<T extends Standing> {
  readonly #settings: CrowdSettings;
  readonly #tenants = new Map<string, Own<T>>();
  #size = 0;

  constructor(settings: CrowdSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#size;
  }

  /** How many of a class wait. */
  count(priority: Priority): number {
    let count = 0;
    for (const own of this.#tenants.values()) count += own[priority].size;
    return count;
  }

  /**
   * Lets one in.
   * @returns Who has to go for it and is not among them any more; `item` itself where it can't come in; `null` where
   * nobody has to.
   */
  enter(item: T): T | null {
    const own = this.#tenants.get(item.tenant);
    let victim: T | null = null;
    if (own !== undefined && own.size >= this.#settings.maxPerTenant) victim = lastBelow(own, item.priority) ?? item;
    else if (this.#size >= this.#settings.max) victim = this.#victim(item);
    if (victim === item) return item;
    if (victim !== null) this.leave(victim);
    this.#add(item);
    return victim;
  }

  leave(item: T): void {
    const own = this.#tenants.get(item.tenant);
    if (own === undefined || !own[item.priority].delete(item)) return;
    own.size--;
    this.#size--;
    if (own.size === 0) this.#tenants.delete(item.tenant);
  }

  #add(item: T): void {
    let own = this.#tenants.get(item.tenant);
    if (own === undefined) {
      own = { low: new Set(), normal: new Set(), high: new Set(), size: 0 };
      this.#tenants.set(item.tenant, own);
    }
    own[item.priority].add(item);
    own.size++;
    this.#size++;
  }

  /** Of the tenant that would have most by its weight, itself included. */
  #victim(item: T): T {
    const shareOf = (tenant: string, size: number): number => size / weightOf(this.#settings.weights, tenant);
    let most = shareOf(item.tenant, (this.#tenants.get(item.tenant)?.size ?? 0) + 1);
    let found: Own<T> | null = null;
    for (const [tenant, own] of this.#tenants) {
      const share = shareOf(tenant, own.size);
      if (tenant === item.tenant || share <= most) continue;
      most = share;
      found = own;
    }
    if (found !== null) return lastBelow(found, null) ?? item;
    const own = this.#tenants.get(item.tenant);
    return own === undefined ? item : (lastBelow(own, item.priority) ?? item);
  }
}

/** Of the lowest class, who came last; only of classes below `limit`. */
function lastBelow<T>(own: Own<T>, limit: Priority | null): T | null {
  for (const priority of priorities) {
    if (priority === limit) return null;
    const last = [...own[priority]].at(-1);
    if (last !== undefined) return last;
  }
  return null;
}
