import { parseArgs } from 'node:util';
import { contestants, usual } from './contestants/index.ts';
import type { Contestant } from './contestants/contestant.ts';

export interface Options {
  readonly rounds: number;
  /** Answers that are not streamed, per contestant and round. */
  readonly requests: number;
  /** Answers before anything is measured, or as many as there are in 15 s: V8 goes on compiling for about as long. */
  readonly warmUp: number;
  readonly connections: number;
  /** Streams sent all at once, and again as many paced ones, per contestant and round. */
  readonly streams: number;
  /** Paced streams at one time. */
  readonly concurrency: number;
  /** Between the chunks of a paced stream. */
  readonly paceMs: number;
  /** Starts whose time is taken, per contestant. */
  readonly starts: number;
  /** Distinct requests that go through a full cache, to see what memory it takes; 0 for none. */
  readonly distinct: number;
  readonly contestants: readonly Contestant[];
  readonly json: string | undefined;
}

export const usage = `npm run bench -- [options]
  --rounds 3          how often everything is measured; medians are reported
  --requests 5000     answers per contestant and round
  --connections 32    connections under load
  --streams 1000      streams per contestant and round, at once and again paced; 0 for none
  --concurrency 200   paced streams at one time
  --pace 20           ms between the chunks of a paced stream
  --distinct 200000   distinct requests through a full cache, and without one, for its memory; 0 for none
  --only a,b          of ${contestants.map(({ name }) => name).join(', ')}
  --json FILE         the figures of every round, too
  --quick             one short round, to see that everything works
`;

/** A wrong option; the message is for whoever typed it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const flags = {
  rounds: { type: 'string' },
  requests: { type: 'string' },
  connections: { type: 'string' },
  streams: { type: 'string' },
  concurrency: { type: 'string' },
  pace: { type: 'string' },
  distinct: { type: 'string' },
  only: { type: 'string' },
  json: { type: 'string' },
  quick: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** @returns `null` where only help is wanted. @throws UsageError */
export function readOptions(args: readonly string[]): Options | null {
  const values = parsed(args);
  if (values.help) return null;
  const { quick } = values;
  return {
    rounds: whole('rounds', values.rounds, quick ? 1 : 3, [1, 100]),
    requests: whole('requests', values.requests, quick ? 1000 : 5000, [1, 1_000_000]),
    warmUp: quick ? 3000 : 60_000,
    connections: whole('connections', values.connections, 32, [1, 1000]),
    streams: whole('streams', values.streams, quick ? 200 : 1000, [0, 100_000]),
    concurrency: whole('concurrency', values.concurrency, 200, [1, 2000]),
    paceMs: whole('pace', values.pace, 20, [1, 999]),
    distinct: whole('distinct', values.distinct, quick || values.only !== undefined ? 0 : 200_000, [0, 10_000_000]),
    starts: quick ? 1 : 5,
    contestants: values.only === undefined ? usual : chosen(values.only.split(',')),
    json: values.json,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags }).values;
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : 'Unreadable options.', { cause });
  }
}

export function whole(
  name: string,
  text: string | undefined,
  preset: number,
  range: [min: number, max: number],
): number {
  const value = text === undefined ? preset : Number(text);
  if (Number.isInteger(value) && value >= range[0] && value <= range[1]) return value;
  throw new UsageError(`--${name} takes a whole number from ${range[0]} to ${range[1]}.`);
}

function chosen(names: readonly string[]): readonly Contestant[] {
  for (const name of names) {
    if (!contestants.some((contestant) => contestant.name === name)) throw new UsageError(`There is no "${name}".`);
  }
  return contestants.filter(({ name }) => name === 'direct' || names.includes(name));
}
