import type { ChatRequest, PreparedChat } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import type { JsonEdit, JsonObject } from '../../core/json-document.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Principal } from '../../core/principal.ts';
import { mayCallModel } from '../../core/principal.ts';

/** A model with a task: what callers call by name instead of a bare model. */
export interface Agent {
  readonly name: string;
  /** A model id, or `provider/upstream-model`. */
  readonly model: string;
  /** Put before the caller's messages. */
  readonly system: string | null;
  /** Request members that hold where the caller doesn't set them: `temperature`, `max_tokens`, … */
  readonly params: JsonObject;
}

/** What a request is to become: the agent it is for, the model that serves it, and its body. */
export interface Assignment {
  readonly agent: Agent | null;
  readonly model: string;
  readonly chat: PreparedChat;
}

/** How agents are named where a model is expected: `agent/NAME`. */
const prefix = 'agent/';

/** The configured agents, and which one a request is for. */
export class Agents {
  readonly #agents: ReadonlyMap<string, Agent>;
  readonly #byDefault: string | null;

  constructor(agents: ReadonlyMap<string, Agent>, byDefault: string | null) {
    this.#agents = agents;
    this.#byDefault = byDefault;
  }

  /** In the config's order. */
  list(): IterableIterator<Agent> {
    return this.#agents.values();
  }

  /**
   * @throws MizanError `unknown_agent`, with the nearest name; `forbidden` where the principal may not call it.
   */
  assign(request: ChatRequest, principal: Principal): Assignment {
    const { target } = request;
    if ('model' in target && !target.model.startsWith(prefix)) return this.#direct(target.model, request, principal);
    const name = 'model' in target ? target.model.slice(prefix.length) : (target.agent ?? this.#byDefault);
    const param = 'model' in target ? 'model' : 'agent';
    if (name === null) throw new MizanError('unknown_agent', 'No agent is configured.', { param });
    const agent = this.#agents.get(name);
    if (agent === undefined) {
      const hint = didYouMean(name, this.#agents.keys());
      throw new MizanError('unknown_agent', `There is no agent "${name.slice(0, 100)}".${hint}`, { param });
    }
    if (principal.agents !== null && !principal.agents.includes(name)) {
      throw new MizanError('forbidden', `This identity may not call the agent "${name}".`);
    }
    return { agent, model: agent.model, chat: { ...request, edits: editsOf(agent, request) } };
  }

  #direct(model: string, request: ChatRequest, principal: Principal): Assignment {
    if (!mayCallModel(principal, model)) {
      const only = principal.models === null || principal.models.length === 0 ? 'not models' : 'not this model';
      throw new MizanError('forbidden', `This identity may call its agents only, ${only} directly.`);
    }
    return { agent: null, model, chat: { ...request, edits: [] } };
  }
}

function editsOf(agent: Agent, request: ChatRequest): JsonEdit[] {
  const edits: JsonEdit[] = [];
  if (agent.system !== null) {
    const message = JSON.stringify({ role: 'system', content: agent.system });
    edits.push({ member: 'messages', json: message, at: 'front' });
  }
  for (const [member, value] of Object.entries(agent.params)) {
    if (!request.body.has(member)) edits.push({ member, json: JSON.stringify(value), at: 'value' });
  }
  return edits;
}
