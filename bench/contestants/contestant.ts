import type { Door } from '../load/plan.ts';
import type { Launch } from '../system/gateway.ts';

/** Where a contestant is prepared. */
export interface Site {
  /** A folder of its own, removed when the bench ends. */
  readonly dir: string;
  readonly upstreamPort: number;
}

/** A contestant that is ready to start. */
export interface Stand {
  /** `null` where there is nothing between the load and the upstream. */
  readonly launch: Launch | null;
  readonly door: Door;
}

/** One row of the table. */
export interface Contestant {
  readonly name: string;
  /** Gets everything it needs. @throws Unavailable where this machine can't have it. */
  prepare(site: Site): Promise<Stand>;
}

/** Why a contestant does not take part; the message is shown in its row. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}
