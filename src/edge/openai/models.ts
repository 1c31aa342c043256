import type { FastifyReply, FastifyRequest } from 'fastify';
import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Principal } from '../../core/principal.ts';
import { mayCallModel } from '../../core/principal.ts';
import type { Flow } from '../../flow/run.ts';
import type { EdgeContext } from '../http/context.ts';

interface ModelObject {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: 'mizan';
}

/** What the principal may give as `model`: the configured models, and agents as `agent/NAME`. */
function namesFor(flow: Flow, principal: Principal): string[] {
  const { agents: allowed, models: named } = principal;
  const agents = [...flow.agents.list()].map((agent) => agent.name);
  const models = [...flow.models.list()].map(({ pool }) => pool.model.id);
  // A model of a provider's own is nowhere listed, but where an identity may call just that one.
  const direct = (named?.filter((name) => name.includes('/')) ?? []).concat(models);
  return [
    ...direct.filter((model) => mayCallModel(principal, model)),
    ...agents.filter((name) => allowed === null || allowed.includes(name)).map((name) => `agent/${name}`),
  ];
}

function modelObject(id: string): ModelObject {
  return { id, object: 'model', created: 0, owned_by: 'mizan' };
}

/** `GET /v1/models` */
export async function listModels(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  return { object: 'list', data: namesFor(context.flow, request.principal).map(modelObject) };
}

/** `GET /v1/models/NAME` */
export async function getModel(
  context: EdgeContext,
  request: FastifyRequest,
  _reply: FastifyReply,
): Promise<ModelObject> {
  const name = (request.params as { '*': string })['*'];
  const names = namesFor(context.flow, request.principal);
  if (names.includes(name)) return modelObject(name);
  throw new MizanError('unknown_model', `There is no model "${name.slice(0, 100)}".${didYouMean(name, names)}`, {
    param: 'model',
  });
}
