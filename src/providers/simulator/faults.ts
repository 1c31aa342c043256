import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Random } from '../../core/random.ts';

function number(min: number, max: number, unit: string): z.ZodNumber {
  const error = `expected a number of ${unit} from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

function whole(min: number, max: number, unit: string): z.ZodInt {
  const error = `expected a whole number of ${unit} from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

const rateError = 'expected a share from 0 to 1';
const rate = z
  .number({ error: rateError })
  .min(0, { error: rateError })
  .max(1, { error: rateError })
  .default(1)
  .describe('The share of requests that it happens to, from 0 to 1.');
const after = whole(0, 1_000_000, 'tokens').default(0).describe('After so many tokens.');
const statusError = 'expected an HTTP status from 400 to 599';

/** Every kind of fault, and what may be said of it. */
const kinds = {
  status: z
    .strictObject({
      kind: z.literal('status'),
      code: z
        .int({ error: statusError })
        .min(400, { error: statusError })
        .max(599, { error: statusError })
        .default(503),
      retryAfter: whole(0, 86_400, 'seconds').optional().describe('What `Retry-After` says, in seconds.'),
      rate,
    })
    .describe('An error in OpenAI’s shape instead of an answer.'),
  refuse: z.strictObject({ kind: z.literal('refuse'), rate }).describe('The connection is refused.'),
  reset: z
    .strictObject({ kind: z.literal('reset'), rate })
    .describe('The connection is reset before the answer begins.'),
  'slow-headers': z
    .strictObject({ kind: z.literal('slow-headers'), ms: number(0, 86_400_000, 'milliseconds').default(1000), rate })
    .describe('The answer’s head comes late, by so many ms.'),
  stall: z
    .strictObject({ kind: z.literal('stall'), after, rate })
    .describe('Nothing more comes, but the connection stays open.'),
  cut: z
    .strictObject({
      kind: z.literal('cut'),
      after,
      byte: whole(0, 1_000_000, 'bytes').default(0).describe('And so many bytes of the next event.'),
      rate,
    })
    .describe('The connection is closed in the middle of the answer.'),
  garbage: z.strictObject({ kind: z.literal('garbage'), rate }).describe('A success whose bytes are not the protocol.'),
  'error-event': z
    .strictObject({ kind: z.literal('error-event'), after, rate })
    .describe('An error inside the stream, which then ends.'),
  'no-terminator': z
    .strictObject({ kind: z.literal('no-terminator'), rate })
    .describe('A stream that ends without its finish reason and its terminator.'),
} as const;

const kindError = `expected one of ${Object.keys(kinds).join(', ')}`;

/** A fault as the configuration has it: `{ kind: cut, after: 3, rate: 0.5 }`. */
export const faultSchema = z.discriminatedUnion(
  'kind',
  [
    kinds.status,
    kinds.refuse,
    kinds.reset,
    kinds['slow-headers'],
    kinds.stall,
    kinds.cut,
    kinds.garbage,
    kinds['error-event'],
    kinds['no-terminator'],
  ],
  { error: kindError },
);

export type Fault = z.output<typeof faultSchema>;

const example = 'Expected for example "cut; after=3; rate=0.5".';

/**
 * Reads faults as the header `x-simulate-fault` and the option `--fault` have them: `cut; after=3; rate=0.5`, several
 * of them with commas between.
 * @throws MizanError `invalid_request`, saying what was expected.
 */
export function parseFaults(text: string): Fault[] {
  return text.split(',').map(parseFault);
}

function parseFault(text: string): Fault {
  const [kind = '', ...settings] = text.split(';').map((part) => part.trim());
  if (!Object.hasOwn(kinds, kind)) {
    throw invalid(`"${kind.slice(0, 60)}" is not a fault: ${kindError}.${didYouMean(kind, Object.keys(kinds))}`);
  }
  const given: Record<string, unknown> = { kind };
  for (const setting of settings) {
    const [, name, value] = /^(\w+)\s*=\s*(\d+(?:\.\d+)?)$/.exec(setting) ?? [];
    if (name === undefined) throw invalid(`"${setting.slice(0, 60)}" is not a setting with a number. ${example}`);
    if (Object.hasOwn(given, name)) throw invalid(`"${name}" is set twice. ${example}`);
    given[name] = Number(value);
  }
  const parsed = faultSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw invalid(whyNot(kind as Fault['kind'], parsed.error));
}

function whyNot(kind: Fault['kind'], error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const names = Object.keys(kinds[kind].shape).filter((name) => name !== 'kind');
    const unknown = issue.keys[0] ?? '';
    return `The fault "${kind}" has no setting "${unknown.slice(0, 60)}": expected ${names.join(', ')}.`;
  }
  return `The fault "${kind}": ${issue?.message ?? 'it is wrong'} as ${issue?.path.join('.') ?? 'its setting'}.`;
}

function invalid(message: string): MizanError {
  return new MizanError('invalid_request', message, { param: 'x-simulate-fault' });
}

/** The faults that happen to one request. Each has its own throw, so that rates don't depend on each other. */
export function strike(faults: readonly Fault[], random: Random): Fault[] {
  return faults.filter((fault) => random() < fault.rate);
}
