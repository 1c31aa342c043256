import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ChatRequest } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import { JsonDocument } from '../../core/json-document.ts';
import type { AnswerSink, Call, Outcome } from '../../flow/call.ts';
import { run } from '../../flow/run.ts';
import type { EdgeContext } from './context.ts';
import { errorAnswer } from './errors.ts';
import { answerHeaders, sendBody } from './respond.ts';

/** One dialect's way with a call: how its body is understood, and how its answer is written. */
export interface Dialect {
  /** @throws MizanError where the body is not a chat. */
  read(body: JsonDocument): ChatRequest;
  /** The caller's end of a streamed answer. */
  sink(reply: FastifyReply): AnswerSink;
  /** The body of a complete answer, in JSON. */
  answer(outcome: Outcome, requestId: string): Buffer;
  /** The last event or events of a stream that began: that it is complete, or why it isn't. */
  ending(outcome: Outcome, requestId: string): string;
  /** Where answers and errors leave in another form than they are written in. */
  readonly cover?: Cover;
}

/** The last form of what a caller gets. */
export interface Cover {
  readonly contentType: string;
  body(body: Buffer | string): Promise<string>;
  /** Ends a stream that began, after everything that was written before. */
  end(outcome: Outcome, requestId: string): Promise<void>;
}

/** Takes a request through the flow and writes what comes of it. */
export async function answerCall(
  context: EdgeContext,
  dialect: Dialect,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  const abort = context.running.begin();
  raw.once('close', () => {
    if (!raw.writableFinished) abort.abort();
  });
  const call: Call = {
    id: request.id,
    receivedAt: request.receivedAt,
    startedAt: request.startedAt,
    principal: request.principal,
    body: Buffer.isBuffer(request.body) ? request.body : null,
    signal: abort.signal,
    read: () => dialect.read(JsonDocument.parse(bodyOf(request))),
    sink: dialect.sink(reply),
  };
  const outcome = await run(call, context.flow);
  context.running.ended(abort);
  if (raw.destroyed) return;
  const { cover } = dialect;
  if (outcome.hasBegun) {
    if (cover === undefined) raw.end(dialect.ending(outcome, call.id));
    else await cover.end(outcome, call.id);
    return;
  }
  const headers = answerHeaders(call.id, outcome.head);
  let body: Buffer | string;
  if (outcome.error === null) {
    body = dialect.answer(outcome, call.id);
  } else {
    if (outcome.error.code === 'forbidden') context.auditing.denied(request, outcome.error);
    const error = errorAnswer(outcome.error, call.id);
    Object.assign(headers, error.headers);
    ({ body } = error);
  }
  if (cover !== undefined) {
    body = await cover.body(body);
    headers['content-type'] = cover.contentType;
  }
  sendBody(raw, { status: outcome.error?.status ?? 200, headers, body });
}

function bodyOf(request: FastifyRequest): Buffer {
  if (Buffer.isBuffer(request.body)) return request.body;
  throw new MizanError('invalid_json', 'There is no body; send a JSON object.');
}
