import type { FastifyRequest } from 'fastify';
import { MizanError } from '../../core/errors.ts';
import { JsonDocument } from '../../core/json-document.ts';
import type { HealthView } from '../../flow/routing/health.ts';
import type { ModelExplanation } from '../../flow/routing/explain.ts';
import { explain } from '../../flow/routing/explain.ts';
import type { Instance } from '../../flow/routing/model.ts';
import { reasons } from '../../flow/routing/strategies/reasons.ts';
import type { EdgeContext } from '../http/context.ts';
import { readChatCompletion } from '../openai/chat-completions.ts';
import { readProcessRequest } from '../process/process-request.ts';

/** `POST /api/route/explain`: what would become of a body of `/ai-process` or `/v1/chat/completions`. */
export async function explainRoute(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  if (!Buffer.isBuffer(request.body)) throw new MizanError('invalid_json', 'There is no body; send a JSON object.');
  const body = JsonDocument.parse(request.body);
  const chat = body.has('messages') ? readChatCompletion(body) : readProcessRequest(body);
  const { clock } = context.flow;
  const { agent, needs, models, chosen } = explain(chat, request.principal, context.flow);
  const [first] = models;
  return {
    agent,
    model: first?.served.pool.model.id ?? null,
    needs: {
      vision: needs.vision,
      tools: needs.tools,
      json_schema: needs.jsonSchema,
      input_tokens: needs.inputTokens,
      max_output_tokens: needs.maxOutputTokens,
    },
    chosen: shownChoice(chosen),
    models: models.map((model) => shownModel(model, clock.monotonic())),
    plan: models.flatMap(({ served, order, as }) =>
      order
        .slice(0, served.policy.maxAttempts)
        .map((instance) => ({ model: served.pool.model.id, instance: instance.id, when: whenOf(as) })),
    ),
  };
}

function shownChoice(model: ModelExplanation | null) {
  const instance = model?.order[0];
  if (model === null || instance === undefined) return null;
  const { id, strategyName } = model.served.pool.model;
  return { model: id, instance: instance.id, because: reasons[strategyName] };
}

const whens = {
  any: 'the models before it have no instance left to ask',
  contextLength: 'the prompt is too long for the model',
  contentPolicy: 'the content is refused by policy',
} as const;

function whenOf(as: ModelExplanation['as']): string | null {
  return as === null ? null : whens[as];
}

function shownModel({ served, as, order, exclusions, health }: ModelExplanation, now: number) {
  const { model } = served.pool;
  return {
    id: model.id,
    strategy: model.strategyName,
    when: whenOf(as),
    waiting: served.pool.waiting,
    candidates: order.map((instance) => shownInstance(instance, health.get(instance), now)),
    excluded: exclusions.map(({ instance, reason, detail, againMs }) => ({
      instance: instance.id,
      reason,
      detail,
      again_ms: againMs === null ? null : Math.round(againMs),
    })),
  };
}

/** An instance with its health and its figures. */
export function shownInstance(instance: Instance, health: HealthView | undefined, now: number) {
  const { figures } = instance;
  return {
    id: instance.id,
    provider: instance.provider.name,
    model: instance.upstreamModel,
    state: health?.state ?? 'healthy',
    reason: health?.reason ?? null,
    next_try_ms: health === undefined || health.nextTryMs === null ? null : Math.round(health.nextTryMs),
    weight: Math.round(figures.weight(now) * 100) / 100,
    priority: instance.priority,
    in_flight: figures.inFlight,
    max_in_flight: instance.maxInFlight,
    first_token_ms: tenths(figures.latencyMs('stream', now)),
    answer_ms: tenths(figures.latencyMs('answer', now)),
    headroom: Math.round(figures.headroom(now) * 1000) / 1000,
    tags: instance.tags,
  };
}

function tenths(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}
