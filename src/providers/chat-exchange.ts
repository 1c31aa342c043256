import { finishReasonOf, firstChoice, isUsageOnly } from '../core/chat.ts';
import type { Clock } from '../core/clock.ts';
import type { Failure, FailureKind } from '../core/failure.ts';
import type { JsonObject } from '../core/json-document.ts';
import type { AttemptHandler, OngoingAttempt } from '../core/upstream.ts';
import { quotaOf } from './quota-headers.ts';
import type { SseBatch } from './sse.ts';
import { SseReader } from './sse.ts';
import type {
  Exchange,
  Transport,
  TransportError,
  TransportHandler,
  TransportHeaders,
  TransportRequest,
} from './transport.ts';
import { failureInBand, failureOfStatus } from './upstream-error.ts';

export interface ChatExchangeContext {
  readonly provider: string;
  readonly stream: boolean;
  readonly wantsUsage: boolean;
  readonly scrub: (text: string) => string;
  readonly clock: Clock;
}

/** A whole answer, an error's body, or one event of a stream may be so many bytes; more is not the protocol. */
const maxBytes = { answer: 64 * 1024 * 1024, event: 4 * 1024 * 1024 };

/** How long an upstream may keep its connection open after it has said that it is done, in ms. */
const lingerMs = 1000;

/** One request to an upstream and its answer, read as OpenAI's Chat Completions. */
export class ChatExchange implements OngoingAttempt, TransportHandler {
  readonly #context: ChatExchangeContext;
  readonly #handler: AttemptHandler;
  #exchange: Exchange | null = null;
  #status = 0;
  #headers: TransportHeaders = {};
  #parts: Buffer[] = [];
  #size = 0;
  #reader: SseReader | null = null;
  #lingering: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(context: ChatExchangeContext, handler: AttemptHandler) {
    this.#context = context;
    this.#handler = handler;
  }

  start(transport: Transport, request: TransportRequest): void {
    this.#exchange = transport.send(request, this);
  }

  cancel(): void {
    this.#isOver = true;
    this.#exchange?.abort();
  }

  pause(): void {
    this.#exchange?.pause();
  }

  resume(): void {
    this.#exchange?.resume();
  }

  onHead(status: number, headers: TransportHeaders): void {
    if (this.#isOver) return;
    this.#status = status;
    this.#headers = headers;
    if (status !== 200) return;
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      this.#break(
        'protocol',
        `answered in an encoding that was not asked for (${this.#context.scrub(String(encoding)).slice(0, 40)})`,
      );
      return;
    }
    const quota = quotaOf(headers, this.#context.clock.now());
    const isStream = /^text\/event-stream\b/i.test(String(headers['content-type']));
    if (this.#context.stream && isStream) {
      this.#reader = new SseReader();
      this.#handler.onHead(quota);
    } else if (!this.#context.stream) {
      this.#handler.onHead(quota);
    }
  }

  onData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#handler.onBytes();
    if (this.#reader === null) {
      this.#size += chunk.length;
      if (this.#size > maxBytes.answer) this.#break('protocol', 'sent an answer without end');
      else this.#parts.push(chunk);
      return;
    }
    const batch = this.#reader.push(chunk);
    if (batch !== null) this.#readEvents(batch);
    else if (this.#reader.pendingBytes > maxBytes.event) this.#break('protocol', 'sent an event without end');
  }

  onEnd(): void {
    clearTimeout(this.#lingering);
    if (this.#isOver) return;
    if (this.#reader !== null) {
      this.#fail({ kind: 'truncated', message: `${this.#context.provider} ended its stream before it was complete.` });
      return;
    }
    if (this.#status !== 200) {
      this.#refused();
      return;
    }
    const bytes = this.#parts.length === 1 ? (this.#parts[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#parts);
    const body = parseObject(bytes);
    if (body?.['error'] !== undefined && body['error'] !== null) {
      this.#fail(failureInBand(this.#context.provider, body['error'], this.#context.scrub));
    } else if (body === null || this.#context.stream || firstChoice(body) === null) {
      this.#break(
        'protocol',
        `answered with something that is not ${this.#context.stream ? 'a stream' : 'a completion'}`,
      );
    } else if (finishReasonOf(body) === 'error') {
      this.#fail(failureInBand(this.#context.provider, firstChoice(body)?.['error'], this.#context.scrub));
    } else {
      this.#isOver = true;
      this.#handler.onAnswer({ bytes, completion: body });
    }
  }

  onError(error: TransportError): void {
    clearTimeout(this.#lingering);
    if (this.#isOver) return;
    if (error.phase === 'body' && this.#status !== 200) {
      this.#refused();
      return;
    }
    const { provider } = this.#context;
    this.#fail({ kind: kindOf(error), message: `${provider}: ${error.reason}.`, cause: error.cause });
  }

  /** What an upstream says by its status holds even where the words that follow it are cut. */
  #refused(): void {
    const { provider, scrub, clock } = this.#context;
    const answer = { status: this.#status, headers: this.#headers, body: parseObject(Buffer.concat(this.#parts)) };
    this.#fail(failureOfStatus(provider, answer, { scrub, now: clock.now() }));
  }

  /** Passes on what the batch holds up to its terminator; what comes after that is not part of the answer. */
  #readEvents(batch: SseBatch): void {
    const chunks: JsonObject[] = [];
    const kept: Buffer[] = [];
    let from = 0;
    for (const event of batch.events) {
      const chunk = event.data === null ? null : event.data === '[DONE]' ? 'done' : parseObject(event.data);
      const error = chunk === 'done' ? undefined : this.#errorIn(chunk, event.data);
      if (chunk === 'done' || error !== undefined) {
        kept.push(batch.bytes.subarray(from, event.start));
        this.#emit(kept, chunks);
        if (this.#isOver) return;
        if (error === undefined) this.#done();
        else this.#fail(error);
        return;
      }
      if (chunk === null) continue;
      chunks.push(chunk);
      if (!this.#context.wantsUsage && isUsageOnly(chunk)) {
        kept.push(batch.bytes.subarray(from, event.start));
        from = event.end;
      }
    }
    kept.push(batch.bytes.subarray(from));
    this.#emit(kept, chunks);
  }

  #errorIn(chunk: JsonObject | null, data: string | null): Failure | undefined {
    const { provider, scrub } = this.#context;
    if (chunk === null) {
      if (data === null || data === '') return undefined;
      return { kind: 'protocol', message: `${provider} sent an event that is not JSON.` };
    }
    const error = chunk['error'] ?? (finishReasonOf(chunk) === 'error' ? (firstChoice(chunk)?.['error'] ?? {}) : null);
    return error === null ? undefined : failureInBand(provider, error, scrub);
  }

  #emit(kept: readonly Buffer[], chunks: readonly JsonObject[]): void {
    const bytes = kept.length === 1 ? (kept[0] ?? Buffer.alloc(0)) : Buffer.concat(kept);
    if (bytes.length > 0 || chunks.length > 0) this.#handler.onEvents({ bytes, chunks });
  }

  #done(): void {
    this.#isOver = true;
    this.#lingering = setTimeout(() => this.#exchange?.abort(), lingerMs).unref();
    this.#handler.onEnd();
  }

  #break(kind: 'protocol', did: string): void {
    this.#fail({ kind, message: `${this.#context.provider} ${did}.` });
  }

  #fail(failure: Failure): void {
    this.#isOver = true;
    this.#exchange?.abort();
    this.#handler.onFailure(failure);
  }
}

function kindOf({ isForbidden, timedOut, phase }: TransportError): FailureKind {
  if (isForbidden === true) return 'forbidden_address';
  if (timedOut) return 'timeout_connect';
  return phase === 'body' ? 'truncated' : 'network';
}

function parseObject(text: string | Buffer): JsonObject | null {
  try {
    const value: unknown = JSON.parse(typeof text === 'string' ? text : text.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
  } catch {
    return null;
  }
}
