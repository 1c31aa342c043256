import type { EdgeContext } from '../http/context.ts';
import { shownInstance } from './route.ts';

/** `GET /api/instances`: how every instance of every model is doing, and when the ones out of use are tried again. */
export async function listInstances(context: EdgeContext): Promise<unknown> {
  const now = context.flow.clock.monotonic();
  const instances = [...context.flow.models.list()].flatMap(({ pool }) =>
    pool.views().map(({ instance, health }) => ({ of: pool.model.id, ...shownInstance(instance, health, now) })),
  );
  return { instances };
}
