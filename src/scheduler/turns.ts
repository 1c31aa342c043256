import type { JobRun } from '../core/jobs.ts';
import { systemTenant } from '../core/jobs.ts';

/** Runs that are begun at the same time by one process, at most. */
export const places = {
  all: 16,
  /** For the jobs of tenants together: what keeps Mizan itself going finds room beside them. */
  tenants: 14,
  /** For those of one tenant. */
  tenant: 12,
} as const;

/** Whether a run may begin beside those that go on: however many of one tenant's wait, others find room. */
export function hasRoomFor({ tenant }: JobRun, running: readonly JobRun[]): boolean {
  if (running.length >= places.all || tenant === systemTenant) return running.length < places.all;
  const tenants = running.filter((each) => each.tenant !== systemTenant);
  return tenants.length < places.tenants && tenants.filter((each) => each.tenant === tenant).length < places.tenant;
}

/** Tenants and jobs whose turns are remembered. */
const mostRemembered = 10_000;

/** Who begins next: each tenant in its turn, and of each its jobs in theirs. */
export class Turns {
  /** When a tenant, or a job, had its last turn. */
  readonly #had = new Map<string, number>();
  #turns = 0;

  /** Runs that wait, in the order in which they shall begin. Of each job as they come. */
  order(waiting: readonly JobRun[]): JobRun[] {
    const tenants = this.#groups(waiting, tenantKey).map((runs) => interleaved(this.#groups(runs, jobKey)));
    return interleaved(tenants);
  }

  /** One of them has begun. */
  began(run: JobRun): void {
    const turn = ++this.#turns;
    for (const key of [tenantKey(run), jobKey(run)]) {
      this.#had.delete(key);
      this.#had.set(key, turn);
      if (this.#had.size > mostRemembered) this.#had.delete(this.#had.keys().next().value ?? key);
    }
  }

  /** Those first whose last turn is longest ago. */
  #groups(runs: readonly JobRun[], keyOf: (run: JobRun) => string): JobRun[][] {
    const groups = [...Map.groupBy(runs, keyOf)];
    const turnOf = (key: string): number => this.#had.get(key) ?? 0;
    return groups.toSorted(([a], [b]) => turnOf(a) - turnOf(b)).map(([, group]) => group);
  }
}

/** The first of each, then the second of each, and so on. */
function interleaved(groups: readonly (readonly JobRun[])[]): JobRun[] {
  const runs: JobRun[] = [];
  const longest = groups.reduce((most, { length }) => Math.max(most, length), 0);
  for (let i = 0; i < longest; i++) for (const group of groups) runs.push(...group.slice(i, i + 1));
  return runs;
}

function tenantKey({ tenant }: JobRun): string {
  return `tenant ${tenant}`;
}

function jobKey({ job }: JobRun): string {
  return `job ${job}`;
}
