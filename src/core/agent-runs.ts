import type { CountedAs } from './principal.ts';

/** What a request may do that somebody has the clock send. */
export interface Commission {
  /** The agents it may call; `null` for all. */
  readonly agents: readonly string[] | null;
  /** Whose limits hold it; absent where that is nobody's but its own. */
  readonly countedAs?: CountedAs;
}

/** A request that nobody sends but the clock. */
export interface AgentOrder extends Commission {
  /** An agent by its name, or `provider/upstream-model`. */
  readonly target: { readonly agent: string } | { readonly model: string };
  readonly input: string;
  readonly tenant: string;
  /** Who is in the request log: `job:NAME`. */
  readonly subject: string;
  readonly maxTokens?: number;
  readonly signal: AbortSignal;
}

export interface AgentAnswer {
  readonly requestId: string;
  readonly output: string;
  readonly model: string | null;
  readonly instance: string | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costUsd: number | null;
  readonly latencyMs: number;
}

/** Runs an agent as a request of its own: routed, metered and recorded as any other. @throws MizanError as callers get it. */
export type RunAgent = (order: AgentOrder) => Promise<AgentAnswer>;
