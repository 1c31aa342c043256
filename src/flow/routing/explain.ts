import type { ChatRequest } from '../../core/chat.ts';
import type { Principal } from '../../core/principal.ts';
import type { Agents } from '../agents/agents.ts';
import type { Exclusion } from './exclusion.ts';
import type { HealthView } from './health.ts';
import type { Instance } from './model.ts';
import type { Models } from './models.ts';
import { RequestNeeds } from './needs.ts';
import type { Served } from './served.ts';

/** What routing would do with a request, and why. */
export interface Explanation {
  readonly agent: string | null;
  readonly needs: RequestNeeds;
  /** The model itself, then its fallbacks in their order. */
  readonly models: readonly ModelExplanation[];
  /** The one whose first candidate would be asked first; `null` where the request would be refused. */
  readonly chosen: ModelExplanation | null;
}

export interface ModelExplanation {
  readonly served: Served;
  /** When it would be turned to; `null` for the model itself. */
  readonly as: 'any' | 'contextLength' | 'contentPolicy' | null;
  /** The candidates in the order in which they would be asked. */
  readonly order: readonly Instance[];
  readonly exclusions: readonly Exclusion[];
  /** The list of fallbacks that is turned to where there is no candidate. */
  readonly otherwise: 'any' | 'contextLength';
  readonly health: ReadonlyMap<Instance, HealthView>;
}

/**
 * Nothing is sent and nothing changes.
 * @throws MizanError `unknown_agent`, `unknown_model`, `forbidden`, as the request itself would.
 */
export function explain(
  request: ChatRequest,
  principal: Principal,
  { agents, models }: { readonly agents: Agents; readonly models: Models },
): Explanation {
  const { agent, model } = agents.assign(request, principal);
  const needs = new RequestNeeds(request, agent);
  const served = models.find(model);
  const explained: ModelExplanation[] = [explainModel(served, null, needs)];
  for (const as of ['any', 'contextLength', 'contentPolicy'] as const) {
    for (const id of served.policy.fallbacks[as]) {
      const fallback = models.served(id);
      if (fallback !== undefined) explained.push(explainModel(fallback, as, needs));
    }
  }
  return { agent: agent?.name ?? null, needs, models: explained, chosen: chosenOf(explained) };
}

/** From a model without a candidate the request goes on as its refusal says, each time to one it hasn't been to. */
function chosenOf(models: readonly ModelExplanation[]): ModelExplanation | null {
  const visited = new Set<Served>();
  let model = models[0];
  while (model !== undefined && model.order.length === 0) {
    visited.add(model.served);
    const { otherwise } = model;
    model = models.find(({ as, served }) => as === otherwise && !visited.has(served));
  }
  return model ?? null;
}

function explainModel(served: Served, as: ModelExplanation['as'], needs: RequestNeeds): ModelExplanation {
  const { order, exclusions } = served.pool.explain(needs);
  const health = new Map(served.pool.views().map((view) => [view.instance, view.health] as const));
  const { code } = served.pool.refusal({ exclusions }, needs);
  const otherwise = code === 'context_length_exceeded' ? 'contextLength' : 'any';
  return { served, as, order, exclusions, otherwise, health };
}
