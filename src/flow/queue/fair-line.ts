import type { Priority } from '../../core/priority.ts';
import { priorities, priorityOf } from '../../core/priority.ts';
import type { Principal } from '../../core/principal.ts';
import type { Turn } from './turns.ts';
import { next, Turns } from './turns.ts';

/** Whose place in a line it is. */
export interface Standing {
  readonly tenant: string;
  readonly priority: Priority;
}

export function standingOf(principal: Principal): Standing {
  return { tenant: principal.tenant, priority: priorityOf(principal) };
}

/** How often tenants come in comparison with one that has 1, which is everyone who isn't named. */
export type Weights = Readonly<Record<string, number>>;

export function weightOf(weights: Weights, tenant: string): number {
  return Object.hasOwn(weights, tenant) ? (weights[tenant] ?? 1) : 1;
}

/** How often requests of a tenant's own classes come in comparison with each other. */
const classWeights: Readonly<Record<Priority, number>> = { low: 1, normal: 4, high: 16 };

/** Tenants that went and are still known. */
const maxGone = 256;

/** What waits of one tenant in one class: first come, first served. */
class ClassFlow<T> implements Turn {
  readonly weight: number;
  start = 0;
  readonly items = new Set<T>();

  constructor(weight: number) {
    this.weight = weight;
  }
}

/** What waits of one tenant. */
class TenantFlow<T extends Standing> implements Turn {
  weight = 1;
  start = 0;
  size = 0;
  readonly #turns = new Turns();
  readonly #classes = new Map<Priority, ClassFlow<T>>(
    priorities.map((priority) => [priority, new ClassFlow<T>(classWeights[priority])]),
  );

  add(item: T): void {
    const flow = this.#of(item);
    if (flow.items.size === 0) this.#turns.enter(flow);
    flow.items.add(item);
    this.size++;
  }

  remove(item: T): boolean {
    const isThere = this.#of(item).items.delete(item);
    if (isThere) this.size--;
    return isThere;
  }

  served(item: T): void {
    this.#turns.served(this.#of(item));
  }

  first(): T | undefined {
    const [first] = next(this.#waiting())?.items ?? [];
    return first;
  }

  inOrder(): T[] {
    return [...this.#waiting()].toSorted((a, b) => a.start - b.start).flatMap(({ items }) => [...items]);
  }

  *#waiting(): Generator<ClassFlow<T>> {
    for (const flow of this.#classes.values()) if (flow.items.size > 0) yield flow;
  }

  #of({ priority }: T): ClassFlow<T> {
    return this.#classes.get(priority) as ClassFlow<T>;
  }
}

/**
 * A line in which tenants take turns by their weights, however many each has in it; and of one tenant, its classes by
 * theirs, so that none is ever passed over for good.
 */
export class FairLine<T extends Standing> {
  readonly #weights: Weights;
  readonly #turns = new Turns();
  readonly #waiting = new Map<string, TenantFlow<T>>();
  /** Those of whom nobody waits, as long as it would matter that they were served a moment ago. */
  readonly #gone = new Map<string, TenantFlow<T>>();
  #size = 0;

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  get size(): number {
    return this.#size;
  }

  add(item: T): void {
    const { tenant } = item;
    let flow = this.#waiting.get(tenant);
    if (flow === undefined) {
      flow = this.#gone.get(tenant) ?? new TenantFlow<T>();
      flow.weight = weightOf(this.#weights, tenant);
      this.#gone.delete(tenant);
      this.#waiting.set(tenant, flow);
      this.#turns.enter(flow);
    }
    flow.add(item);
    this.#size++;
  }

  /** It leaves without having been served: nobody's turn has passed. Whether it was there. */
  remove(item: T): boolean {
    const flow = this.#waiting.get(item.tenant);
    if (flow === undefined || !flow.remove(item)) return false;
    this.#size--;
    if (flow.size === 0) {
      this.#waiting.delete(item.tenant);
      this.#gone.set(item.tenant, flow);
      this.#forget();
    }
    return true;
  }

  /** It leaves, and it was its turn. */
  served(item: T): void {
    const flow = this.#waiting.get(item.tenant);
    if (flow === undefined) return;
    flow.served(item);
    this.#turns.served(flow);
    this.remove(item);
  }

  /** Whose turn it is. */
  first(): T | undefined {
    return next(this.#waiting.values())?.first();
  }

  /** All, as their turns would come if those before them could not use theirs. */
  *inOrder(): Generator<T> {
    for (const flow of [...this.#waiting.values()].toSorted((a, b) => a.start - b.start)) yield* flow.inOrder();
  }

  #forget(): void {
    if (this.#gone.size <= maxGone) return;
    for (const [tenant, flow] of this.#gone) if (this.#turns.isForgettable(flow)) this.#gone.delete(tenant);
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > maxGone && oldest !== undefined) this.#gone.delete(oldest);
  }
}
