import type { Provider } from '../../src/core/upstream.ts';
import type { Choice, Figures, Instance, Needs, Strategy } from '../../src/flow/routing/model.ts';
import { strategies as registered } from '../../src/flow/routing/strategies/index.ts';
import type { Micro } from './harness.ts';

const provider = { name: 'nobody' } as Provider;

/** Ten instances of a model under load: three tiers, unequal weights, prices and quotas. */
const instances: readonly Instance[] = Array.from({ length: 10 }, (_, i) => {
  const answeredAt = i * 100;
  const figures: Figures = {
    inFlight: 3 + (i % 4),
    weight: (now) => (now < 0 ? 0 : 1 + (i % 3)),
    latencyMs: (_kind, now) => (300 + 40 * i) * Math.exp(-(now - answeredAt) / 10_000),
    headroom: (now) => Math.max(0, 1 - (now % 60_000) / 60_000 - i / 20),
  };
  return {
    id: `provider-${i}/model-${i}`,
    provider,
    upstreamModel: `model-${i}`,
    weight: 1 + (i % 3),
    priority: 1 + Math.floor(i / 4),
    price: { input: 1 + (i % 5), output: 4 + (i % 5) },
    maxInFlight: null,
    rpm: null,
    tpm: null,
    tags: [],
    contextLength: null,
    capabilities: { vision: true, tools: true, jsonSchema: true },
    figures,
  };
});

/** The same with every other one missing: the set that candidates change to and from. */
const fewer = instances.filter((_, i) => i % 2 === 0);

/** A session's name; and the beginning of a long prompt, where there is no session. */
const affinities = [
  'b1946ac9-2492-4d23-8a5c-0d4d1f6c6a5e',
  'You answer for a courier’s office. '.repeat(60).slice(0, 2048),
];

const needs: Omit<Needs, 'affinity'> = {
  kind: 'stream',
  vision: false,
  tools: false,
  jsonSchema: false,
  inputTokens: 800,
  maxOutputTokens: null,
  images: 0,
  choices: 1,
};

function decide(strategy: Strategy, choice: Choice): Instance {
  const instance = strategy.choose(choice);
  strategy.took?.(instance, choice);
  return instance;
}

function microsOf(name: string, make: () => Strategy): Micro[] {
  const strategy = make();
  const choiceOf = (candidates: readonly Instance[], affinity: string): Choice => ({
    candidates,
    needs: { ...needs, affinity },
    now: 5000,
    random: Math.random,
  });
  const [session = '', prompt = ''] = affinities;
  const usual = choiceOf(instances, session);
  const micros: Micro[] = [{ name: `strategy ${name}, 10 instances`, run: () => decide(strategy, usual) }];
  if (name === 'sticky') {
    const long = choiceOf(instances, prompt);
    micros.push({ name: `strategy ${name}, 10 instances, by 2,048 characters`, run: () => decide(strategy, long) });
  }
  if (name === 'round-robin') {
    const changed = choiceOf(fewer, session);
    let turn = 0;
    const run = (): Instance => decide(strategy, turn++ % 2 === 0 ? usual : changed);
    micros.push({ name: `strategy ${name}, other candidates every time`, run });
  }
  return micros;
}

/** A decision by each strategy, taken: to be compared with the goal of 3,000 ns. */
export const strategies: readonly Micro[] = Object.entries(registered).flatMap(([name, make]) => microsOf(name, make));
