import { publicCheck } from '../../core/model-health.ts';
import type { EdgeContext } from '../http/context.ts';
import { shownInstance } from './route.ts';

/**
 * `GET /api/instances`: how every instance of every model is doing, when the ones out of use are tried again, and what
 * `model-health` found of them.
 */
export async function listInstances({ flow, instanceChecks }: EdgeContext): Promise<unknown> {
  const now = flow.clock.monotonic();
  const instances = [...flow.models.list()].flatMap(({ pool }) =>
    pool.views().map(({ instance, health }) => {
      const check = instanceChecks.find(pool.model.id, instance.id);
      const shown = shownInstance(instance, health, now);
      return { of: pool.model.id, ...shown, check: check === undefined ? null : publicCheck(check) };
    }),
  );
  return { instances };
}
