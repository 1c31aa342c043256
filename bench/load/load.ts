import { Child, hasMember } from '../system/child.ts';
import type { Outcome, Plan } from './plan.ts';

const isOutcome = (message: unknown): message is Outcome => hasMember(message, 'latencies');

/** The load generator, running in a process of its own. One plan at a time. */
export class Load {
  readonly #child = new Child(new URL('generator.ts', import.meta.url));

  run(plan: Plan): Promise<Outcome> {
    return this.#child.ask(plan, isOutcome, plan.deadlineMs + 30_000);
  }

  stop(): void {
    this.#child.stop();
  }
}
