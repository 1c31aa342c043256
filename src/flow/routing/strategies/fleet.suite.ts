import fc from 'fast-check';
import { seededRandom } from '../../../core/random.ts';
import type { Provider } from '../../../core/upstream.ts';
import type { Price } from '../../../core/usage.ts';
import type { Choice, Figures, Instance, Needs, Strategy } from '../model.ts';

/** Figures that a test sets by hand. */
export interface TestFigures extends Figures {
  inFlight: number;
  weightNow: number;
  /** In ms, of streams. */
  ttft: number | null;
  /** In ms, of whole answers. */
  whole: number | null;
  left: number;
}

export interface TestInstance extends Instance {
  readonly figures: TestFigures;
}

type Given = Partial<Omit<Instance, 'figures'>> & {
  inFlight?: number;
  ttft?: number | null;
  whole?: number | null;
  left?: number;
};

export function instanceOf(id: string, given: Given = {}): TestInstance {
  const { inFlight = 0, ttft = null, whole = null, left = 1, ...facts } = given;
  const figures: TestFigures = {
    inFlight,
    weightNow: facts.weight ?? 1,
    ttft,
    whole,
    left,
    weight: () => figures.weightNow,
    latencyMs: (kind) => (kind === 'stream' ? figures.ttft : figures.whole),
    headroom: () => figures.left,
  };
  return {
    id,
    provider: { name: 'nobody', priceOf: (): Price | null => null, lengthsOf: (): null => null } as unknown as Provider,
    upstreamModel: 'test',
    weight: 1,
    priority: 1,
    price: null,
    maxInFlight: null,
    rpm: null,
    tpm: null,
    tags: [],
    contextLength: null,
    capabilities: { vision: true, tools: true, jsonSchema: true },
    ...facts,
    figures,
  };
}

/** Instances `a`, `b`, `c`… with these weights. */
export function fleetOf(...weights: number[]): TestInstance[] {
  return weights.map((weight, index) => instanceOf(String.fromCharCode(97 + index), { weight }));
}

const needs: Needs = {
  kind: 'stream',
  vision: false,
  tools: false,
  jsonSchema: false,
  inputTokens: 1000,
  maxOutputTokens: null,
  images: 0,
  choices: 1,
  affinity: 'someone',
};

type GivenChoice = Partial<Omit<Choice, 'candidates' | 'needs'>> & { needs?: Partial<Needs> };

export function choiceOf(candidates: readonly Instance[], given: GivenChoice = {}): Choice {
  return { now: 0, random: seededRandom(1), ...given, candidates, needs: { ...needs, ...given.needs } };
}

/** One decision that is acted upon. */
export function take(strategy: Strategy, choice: Choice): TestInstance {
  const chosen = strategy.choose(choice);
  strategy.took?.(chosen, choice);
  return chosen as TestInstance;
}

/** How often each was chosen in `times` decisions, each of which is taken and over before the next. */
export function countsOf(strategy: Strategy, choice: Choice, times: number): Map<Instance, number> {
  const counts = new Map(choice.candidates.map((instance) => [instance, 0]));
  for (let i = 0; i < times; i++) {
    const chosen = take(strategy, choice);
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
  }
  return counts;
}

/** Up to 12 instances in any condition, also a hopeless one. */
export const anyFleet: fc.Arbitrary<TestInstance[]> = fc
  .array(
    fc.record({
      weight: fc.integer({ min: 1, max: 1000 }),
      slowStart: fc.constantFrom(1, 0.3, 0.01, 0),
      priority: fc.integer({ min: 1, max: 3 }),
      price: fc.option(fc.record({ input: fc.constantFrom(0, 1, 2.5), output: fc.constantFrom(0, 2, 10) })),
      inFlight: fc.integer({ min: 0, max: 20 }),
      ttft: fc.option(fc.double({ min: 0, max: 60_000, noNaN: true })),
      left: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((given) =>
    given.map(({ slowStart, ...facts }, index) => {
      const instance = instanceOf(`instance-${index}`, facts);
      instance.figures.weightNow = facts.weight * slowStart;
      return instance;
    }),
  );

/** Whether `count` of `times` independent draws is as likely as 1 − 2e-9 (six standard deviations) for this share. */
export function isLikely(count: number, times: number, share: number): boolean {
  return Math.abs(count - times * share) <= 6 * Math.sqrt(times * share * (1 - share)) + 1e-9;
}
