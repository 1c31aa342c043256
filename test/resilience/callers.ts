import { Pool } from 'undici';

/** What a caller saw of one call. */
export interface Seen {
  readonly status: number;
  /** The error's code; `null` for a complete answer. */
  readonly error: string | null;
  /** All text of the answer, complete or not. */
  readonly text: string;
  /** Whether a finish reason or a terminator was seen. */
  readonly isFinished: boolean;
  readonly retryAfter: string | null;
  readonly attempts: number;
  readonly requestId: string;
  readonly ms: number;
}

/** Callers over HTTP, each with its own connection. */
export class Callers {
  readonly #pool: Pool;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#pool = new Pool(url, { headersTimeout: 0, bodyTimeout: 0 });
    this.#token = token;
  }

  async call(stream: boolean, signal?: AbortSignal): Promise<Seen> {
    const startedAt = performance.now();
    const answer = await this.#pool.request({
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', stream, messages: [{ role: 'user', content: 'weigh' }] }),
      signal: signal ?? null,
    });
    const body = await answer.body.text();
    const { headers, statusCode: status } = answer;
    return {
      status,
      ...(status === 200 && stream ? readStream(body) : readAnswer(body)),
      retryAfter: headers['retry-after'] === undefined ? null : String(headers['retry-after']),
      attempts: Number(headers['x-mizan-attempts']),
      requestId: String(headers['x-request-id']),
      ms: performance.now() - startedAt,
    };
  }

  /** So many calls, so many of them at a time. */
  async calls(count: number, concurrency: number, stream: boolean): Promise<Seen[]> {
    const seen: Seen[] = [];
    let begun = 0;
    const caller = async (): Promise<void> => {
      while (begun < count) {
        begun++;
        seen.push(await this.call(stream));
      }
    };
    await Promise.all(Array.from({ length: concurrency }, caller));
    return seen;
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

interface Completion {
  readonly error?: { readonly code: string };
  readonly choices?: readonly {
    readonly message?: { readonly content: string };
    readonly delta?: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
}

function readAnswer(body: string): Pick<Seen, 'error' | 'text' | 'isFinished'> {
  const { error, choices } = JSON.parse(body) as Completion;
  const text = choices?.[0]?.message?.content ?? '';
  return { error: error?.code ?? null, text, isFinished: error === undefined };
}

function readStream(body: string): Pick<Seen, 'error' | 'text' | 'isFinished'> {
  let error: string | null = null;
  let text = '';
  let isFinished = false;
  for (const line of body.split('\n')) {
    if (!line.startsWith('data: ')) continue;
    const data = line.slice(6);
    if (data === '[DONE]') {
      isFinished = true;
      continue;
    }
    const chunk = JSON.parse(data) as Completion;
    error = chunk.error?.code ?? error;
    text += chunk.choices?.[0]?.delta?.content ?? '';
    if ((chunk.choices?.[0]?.finish_reason ?? null) !== null) isFinished = true;
  }
  return { error, text, isFinished };
}
