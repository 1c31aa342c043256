import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { MizanError, SetupError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Fault } from '../../providers/simulator/faults.ts';
import { parseFaults } from '../../providers/simulator/faults.ts';

const count = z.int().min(1).max(100_000);
const ms = z.int().min(0).max(600_000);

/** A fault in the simulator's spelling: `cut; after=3; rate=0.5`. */
const spelledFault = z.string().transform((text, context): Fault[] => {
  try {
    return parseFaults(text);
  } catch (error) {
    const message = error instanceof MizanError ? error.message : 'not a fault';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
});

const scriptedFault = z
  .strictObject({
    /** `first`, `last`, `others` (all but the first), `all`, or instance ids. */
    instances: z.union([z.enum(['first', 'last', 'others', 'all']), z.array(z.string()).min(1)]),
    fault: spelledFault,
    /** From when, and until when, since the first call; in ms. */
    fromMs: ms.default(0),
    untilMs: ms.optional(),
    /** Flapping: so long with the fault and then so long without it, in ms. */
    everyMs: ms.min(1).optional(),
  })
  .readonly();

/** A scenario file. */
const scenarioSchema = z
  .strictObject({
    description: z.string(),
    calls: count.default(200),
    /** Calls at the same time. */
    concurrency: count.max(1000).default(10),
    /** Pause of each caller between two calls, in ms. */
    pauseMs: ms.default(0),
    /** Which calls are streamed. */
    stream: z.enum(['all', 'half', 'none']).default('half'),
    input: z.string().default('Say hello, and tell me what a scale is for.'),
    /** How instances answer where nothing is wrong: in ms, and in tokens a second. */
    latencyMs: ms.default(20),
    tokensPerSecond: z.number().min(0).max(100_000).default(2000),
    faults: z.array(scriptedFault),
    /** Put in the place of the config's, so that a rehearsal doesn't take as long as the real thing. In ms. */
    timeouts: z
      .strictObject({ connectMs: ms, firstByteMs: ms, firstTokenMs: ms, idleMs: ms, totalMs: ms })
      .partial()
      .default({}),
    /** More caller errors than this, and the rehearsal has failed. */
    expect: z.strictObject({ errors: z.int().min(0) }).default({ errors: 0 }),
  })
  .readonly();

export type Scenario = z.output<typeof scenarioSchema>;
export type ScriptedFault = z.output<typeof scriptedFault>;

/** Where the scenarios are that come with Mizan. */
const ours = ['../../../examples/rehearsals', '../examples/rehearsals']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path));

/** The names of the scenarios that come with Mizan. */
export function scenarioNames(): string[] {
  if (ours === undefined) return [];
  return readdirSync(ours)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => basename(file, '.yaml'))
    .toSorted();
}

/**
 * Reads a scenario, by name or as a file.
 * @throws SetupError with what is wrong and where.
 */
export function readScenario(given: string): Scenario {
  const names = scenarioNames();
  const file = names.includes(given) && ours !== undefined ? join(ours, `${given}.yaml`) : given;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    const hint = didYouMean(given, names);
    throw new SetupError(`There is no scenario "${given}".${hint} Those that come with Mizan: ${names.join(', ')}.`);
  }
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new SetupError(`${file} is not YAML`, error);
  }
  const parsed = scenarioSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${file} ${issue.path.join('.')}: ${issue.message}`);
  throw new SetupError(problems.join('\n'));
}
