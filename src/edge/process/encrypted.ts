import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MizanError } from '../../core/errors.ts';
import type { OpenedRequest } from '../../security/messages.ts';
import type { Dialect } from '../http/call.ts';
import { answerCall } from '../http/call.ts';
import type { EdgeContext } from '../http/context.ts';
import { answerHeaders, beginStream } from '../http/respond.ts';
import { aiProcess, deltasOf, lastEvent } from './ai-process.ts';

export const joseType = 'application/jose';

/**
 * `POST /ai-process`: plain JSON, or the same in JWE (RFC 7516), which is answered in kind. What is wrong before the
 * body is open is answered in plain; from then on, errors are encrypted, too.
 */
export async function answerProcess(context: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== joseType) return answerCall(context, aiProcess, request, reply);
  if (!Buffer.isBuffer(request.body)) throw new MizanError('undecryptable', 'There is no body; send a JWE.');
  const token = request.body.toString('latin1').trim();
  const opened = await context.messages.openRequest(token, request.principal.tenant);
  request.body = opened.data;
  const dialect = encrypted(opened, () => context.flow.clock.now());
  try {
    await answerCall(context, dialect, request, reply);
  } catch (err) {
    // An answer that can't be encrypted is not sent in plain.
    reply.raw.destroy();
    context.flow.log.error({ event: 'request_crashed', requestId: request.id, err });
  }
}

function encrypted(request: OpenedRequest, now: () => number): Dialect {
  let events: EncryptedEvents | null = null;
  return {
    read(body) {
      request.enter(now());
      return aiProcess.read(body);
    },
    sink({ raw, request: { id } }) {
      const stream = new EncryptedEvents(raw, request);
      events = stream;
      return {
        begin: (head) => beginStream(raw, answerHeaders(id, head)),
        write(batch, drained) {
          for (const data of deltasOf(batch)) stream.push('delta', data);
          return stream.hasRoom(drained);
        },
      };
    },
    answer: (outcome, id) => aiProcess.answer(outcome, id),
    ending: (outcome, id) => aiProcess.ending(outcome, id),
    cover: {
      contentType: joseType,
      body: (body) => request.reply(body),
      async end(outcome, id) {
        const { name, data } = lastEvent(outcome, id);
        events?.push(name, data);
        await events?.end();
      },
    },
  };
}

/** Events that may wait for their encryption before the upstream is held back. */
const maxWaiting = 16;

/**
 * A stream whose events are JWEs, in their order. The header of each has the name and the number of its event, so that
 * none can be left out, moved or renamed on the way.
 */
class EncryptedEvents {
  readonly #raw: ServerResponse;
  readonly #request: OpenedRequest;
  #seq = 0;
  #waiting = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(raw: ServerResponse, request: OpenedRequest) {
    this.#raw = raw;
    this.#request = request;
  }

  push(event: string, data: unknown): void {
    const seq = this.#seq++;
    this.#waiting++;
    // Begun at once, so that several are encrypted side by side; written in turn.
    const token = this.#request.reply(JSON.stringify(data), { seq, event });
    this.#tail = Promise.all([token, this.#tail]).then(([text]) => {
      this.#waiting--;
      if (!this.#raw.destroyed) this.#raw.write(`event: ${event}\ndata: ${text}\n\n`);
    });
    // A stream that can't go on encrypted ends in the middle: cut off, and not in plain.
    this.#tail.catch(() => this.#raw.destroy());
  }

  /** `false` where too many wait; then `drained` follows, once. */
  hasRoom(drained: () => void): boolean {
    if (this.#waiting < maxWaiting && !this.#raw.writableNeedDrain) return true;
    const go = (): void => {
      if (this.#raw.writableNeedDrain) this.#raw.once('drain', drained);
      else drained();
    };
    this.#tail.then(go, () => {});
    return false;
  }

  async end(): Promise<void> {
    await this.#tail.catch(() => {});
    if (!this.#raw.destroyed) this.#raw.end();
  }
}
