import { numberText } from '../ticket.ts';

/** Chunks of one streamed answer that the caller is meant to see: 49 with text, one with the finish reason. */
export const chunksPerStream = 50;

/** What every chunk with text contains, in whatever event a gateway puts it. */
export const chunkMark = ' word';

const blank = numberText(0);
const facts = { created: 1_763_800_000, model: 'bench-upstream', system_fingerprint: 'fp_bench' };
const usage = { prompt_tokens: 212, completion_tokens: 96, total_tokens: 308 };

const answerText =
  `Ticket ${blank}. A gateway stands between those who ask and those who answer; it should take little for itself. ` +
  'It passes on what it was given, counts what was used, notes what happened, and gets out of the way. ' +
  'What it costs is measured here, side by side with its neighbours.';

/** Bytes with a place in them for a ticket's number. */
class Template {
  readonly #bytes: Buffer;
  readonly #at: number;

  constructor(text: string) {
    this.#bytes = Buffer.from(text);
    this.#at = this.#bytes.indexOf(`Ticket ${blank}`) + 'Ticket '.length;
  }

  for(number: string): Buffer {
    const bytes = Buffer.allocUnsafe(this.#bytes.length);
    this.#bytes.copy(bytes);
    bytes.write(number, this.#at, 'latin1');
    return bytes;
  }
}

function json(body: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** A whole answer that is not streamed, head and all; its body is about 0.7 KB. */
export const completion = new Template(
  json(
    JSON.stringify({
      id: 'chatcmpl-BpZ7Qw3xYkT9dVn2sLm4Rc',
      object: 'chat.completion',
      ...facts,
      choices: [
        { index: 0, message: { role: 'assistant', content: answerText, refusal: null }, finish_reason: 'stop' },
      ],
      usage: { ...usage, completion_tokens_details: { reasoning_tokens: 0 } },
    }),
  ),
);

/** For whoever looks around: an empty list of models. */
export const models = Buffer.from(json('{"object":"list","data":[]}'));

function event(data: string): string {
  const text = `data: ${data}\n\n`;
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

function chunk(members: Record<string, unknown>): string {
  return event(
    JSON.stringify({ id: 'chatcmpl-BpZ7Qw3xYkT9dVn2sLm4Rc', object: 'chat.completion.chunk', ...facts, ...members }),
  );
}

function choice(delta: Record<string, unknown>, finishReason: string | null = null): { choices: unknown[] } {
  return { choices: [{ index: 0, delta, finish_reason: finishReason }] };
}

/** nginx would hold a stream back until a buffer is full; this is how an upstream tells it not to. */
const streamHead =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n' +
  'X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n';

const first = streamHead + chunk(choice({ role: 'assistant', content: `Ticket ${blank}${chunkMark}` }));
const middle = chunk(choice({ content: chunkMark }));
const last = chunk(choice({}, 'stop'));
const usageChunk = chunk({ choices: [], usage });
const done = `${event('[DONE]')}0\r\n\r\n`;

/** The pieces of a stream: the first brings the head, the last the end. */
export const stream = {
  first: new Template(first),
  middle: Buffer.from(middle),
  last: Buffer.from(last + done),
  lastWithUsage: Buffer.from(last + usageChunk + done),
  whole: new Template(first + middle.repeat(chunksPerStream - 2) + last + done),
  wholeWithUsage: new Template(first + middle.repeat(chunksPerStream - 2) + last + usageChunk + done),
};
