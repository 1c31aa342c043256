import type { Config } from '../config/config.ts';
import type { Random } from '../core/random.ts';
import { Agents } from '../flow/agents/agents.ts';
import { Payloads } from '../flow/payloads/capture.ts';
import type { Store } from '../store/index.ts';

/** The agents of the configuration. */
export function agentsOf(config: Config): Agents {
  const agents = Object.entries(config.agents).map(([name, agent]) => [name, { name, ...agent }] as const);
  return new Agents(new Map(agents), config.defaultAgent);
}

/** What of what agents are asked and say is kept; `null` where that is nothing. */
export function payloadsOf(config: Config, { payloads }: Store, random: Random): Payloads | null {
  const byAgent = new Map(Object.entries(config.agents).map(([name, agent]) => [name, agent.payloads] as const));
  return Payloads.of({ byAgent, byDefault: config.payloads }, payloads, random);
}
