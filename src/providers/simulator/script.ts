import type { Answer } from './answer.ts';
import { completionOf, eventOf, streamOf, type Envelope, type StreamParts } from './completion.ts';
import type { Fault } from './faults.ts';
import { simulatedError, type OpenAiErrorBody } from './openai-error.ts';

/** Lower-case names. */
export type ScriptHeaders = Readonly<Record<string, string>>;

export interface Step {
  /** Time since the step before, or since the head, in ms. */
  readonly delayMs: number;
  readonly bytes: Buffer;
}

/** How a connection dies: it is never made, or reset before the head, or closed in the middle of the body. */
export type Death = 'refuse' | 'reset' | 'cut';

/** All that will happen to one request, decided before any of it happens. Whoever plays it adds nothing. */
export type Script =
  | { readonly kind: 'dead'; readonly delayMs: number; readonly death: Death }
  | {
      readonly kind: 'answer';
      /** Time before the head, in ms. */
      readonly delayMs: number;
      readonly status: number;
      readonly headers: ScriptHeaders;
      readonly steps: readonly Step[];
      /** `stall`: nothing more comes, and the connection stays open. */
      readonly ending: 'end' | 'cut' | 'stall';
    };

/** A fault that spoils an answer which has begun. */
type LateFault = Extract<Fault, { kind: 'stall' | 'cut' | 'error-event' | 'no-terminator' }>;

const lateKinds: ReadonlySet<string> = new Set(['stall', 'cut', 'error-event', 'no-terminator']);

/** Neither JSON nor events nor UTF-8. */
const garbage = Buffer.concat([
  Buffer.from('<html><body>It works!</body></html>\r\n\r\n'),
  Buffer.from([0xff, 0xfe, 0, 0x80]),
]);

/** What the faults make of a request whatever it says, or `null` if it is answered. */
export function earlyScript(faults: readonly Fault[], delayMs: number): Script | null {
  for (const fault of faults) {
    switch (fault.kind) {
      case 'refuse':
      case 'reset':
        return { kind: 'dead', delayMs, death: fault.kind };
      case 'status': {
        const retryAfter = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) };
        return errorScript(fault.code, simulatedError(fault.code), { delayMs, headers: retryAfter });
      }
      case 'garbage':
        return wholeScript(200, { 'content-type': 'text/html' }, garbage, delayMs);
      default:
        break;
    }
  }
  return null;
}

/** The time that faults add before the head, in ms. */
export function slowness(faults: readonly Fault[]): number {
  return faults.reduce((sum, fault) => (fault.kind === 'slow-headers' ? sum + fault.ms : sum), 0);
}

/** An error in OpenAI's shape. */
export function errorScript(
  status: number,
  body: OpenAiErrorBody,
  more: { readonly delayMs?: number; readonly headers?: ScriptHeaders } = {},
): Script {
  const headers = { 'content-type': 'application/json', ...more.headers };
  return wholeScript(status, headers, Buffer.from(JSON.stringify(body)), more.delayMs ?? 0);
}

function wholeScript(status: number, headers: ScriptHeaders, bytes: Buffer, delayMs: number): Script {
  const withLength = { ...headers, 'content-length': String(bytes.length) };
  return { kind: 'answer', delayMs, status, headers: withLength, steps: [{ delayMs: 0, bytes }], ending: 'end' };
}

/** The script of a list of models, with the first of the faults that can spoil it. */
export function listScript(faults: readonly Fault[], delayMs: number): Script {
  const early = earlyScript(faults, delayMs);
  if (early !== null) return early;
  const data = [{ id: 'simulator', object: 'model', created: 0, owned_by: 'mizan' }];
  const bytes = Buffer.from(JSON.stringify({ object: 'list', data }));
  const script = wholeScript(200, { 'content-type': 'application/json' }, bytes, delayMs);
  const fault = faults.find((each): each is LateFault => each.kind === 'stall' || each.kind === 'cut');
  if (script.kind === 'dead' || fault === undefined) return script;
  const ending = fault.kind === 'cut' ? 'cut' : 'stall';
  return { ...script, steps: [{ delayMs: 0, bytes: bytes.subarray(0, 1) }], ending };
}

export interface AnswerPlan {
  readonly answer: Answer;
  readonly envelope: Envelope;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly faults: readonly Fault[];
  readonly delayMs: number;
  /** 0 is as fast as it can. */
  readonly tokensPerSecond: number;
}

/** The script of an answer, with the first of the faults that can spoil it. */
export function answerScript(plan: AnswerPlan): Script {
  const fault = plan.faults.find((each): each is LateFault => lateKinds.has(each.kind));
  const headers = { 'x-request-id': plan.envelope.id.replace('chatcmpl-', 'req_') };
  return plan.stream ? streamScript(plan, headers, fault) : completionScript(plan, headers, fault);
}

function completionScript(plan: AnswerPlan, requestId: ScriptHeaders, fault: LateFault | undefined): Script {
  const { answer, envelope, delayMs } = plan;
  const headers = { 'content-type': 'application/json', ...requestId };
  if (fault?.kind === 'error-event') {
    return errorScript(200, simulatedError(500), { delayMs, headers });
  }
  const bytes = Buffer.from(JSON.stringify(completionOf(answer, envelope)));
  const script = wholeScript(200, headers, bytes, delayMs);
  if (script.kind === 'dead' || fault === undefined || fault.kind === 'no-terminator') return script;
  // As many parts of its bytes come as tokens would have come of a stream, but never all.
  const share = Math.min(fault.after, answer.tokens.length) / (answer.tokens.length + 1);
  const byte = fault.kind === 'cut' ? fault.byte : 0;
  const begun = bytes.subarray(0, Math.min(bytes.length - 1, Math.floor(bytes.length * share) + byte));
  return { ...script, steps: [{ delayMs: 0, bytes: begun }], ending: fault.kind };
}

function streamScript(plan: AnswerPlan, requestId: ScriptHeaders, fault: LateFault | undefined): Script {
  const parts = spoiled(streamOf(plan.answer, plan.envelope, plan.includeUsage), fault);
  return {
    kind: 'answer',
    delayMs: plan.delayMs,
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', ...requestId },
    steps: stepsOf(parts, plan.tokensPerSecond),
    ending: fault?.kind === 'stall' || fault?.kind === 'cut' ? fault.kind : 'end',
  };
}

/** What is sent of a stream: its opening, then its tokens at their pace, then the rest. */
interface SentParts {
  readonly opening: string;
  readonly tokens: readonly string[];
  readonly rest: Buffer;
}

function spoiled(parts: StreamParts, fault: LateFault | undefined): SentParts {
  const { opening, tokens, finish, terminator } = parts;
  if (fault === undefined) return { opening, tokens, rest: Buffer.from(finish + terminator) };
  if (fault.kind === 'no-terminator') return { opening, tokens, rest: Buffer.alloc(0) };
  const sent = { opening, tokens: tokens.slice(0, fault.after) };
  switch (fault.kind) {
    case 'stall':
      return { ...sent, rest: Buffer.alloc(0) };
    case 'error-event':
      return { ...sent, rest: Buffer.from(eventOf(JSON.stringify(simulatedError(500)))) };
    case 'cut': {
      const next = Buffer.from(tokens[fault.after] ?? finish);
      return { ...sent, rest: next.subarray(0, Math.min(fault.byte, next.length - 1)) };
    }
  }
}

/** Without a pace all is one step: a timer and a buffer for each token would be most of the cost. */
function stepsOf({ opening, tokens, rest }: SentParts, tokensPerSecond: number): Step[] {
  if (tokensPerSecond === 0) {
    return [{ delayMs: 0, bytes: Buffer.concat([Buffer.from(opening + tokens.join('')), rest]) }];
  }
  const delayMs = 1000 / tokensPerSecond;
  const steps = tokens.map((token, i) => ({ delayMs: i === 0 ? 0 : delayMs, bytes: Buffer.from(token) }));
  const all = [{ delayMs: 0, bytes: Buffer.from(opening) }, ...steps, { delayMs: 0, bytes: rest }];
  return all.filter(({ bytes }) => bytes.length > 0);
}
