import { errorOf, eventsOf, readProcessStream } from './http.ts';
import type { ErrorShape } from './http.ts';

/** How a stream that was read to its end came out. */
export interface StreamOutcome {
  readonly output: string;
  /** Finish reasons that the caller was told. */
  readonly finishes: readonly string[];
  /** Whether it has the ending of a complete answer. */
  readonly isComplete: boolean;
  /** The error at its end. */
  readonly error: ErrorShape | null;
}

/** One of the two ways to ask for an answer, so that a promise can be tested on both. */
export interface Dialect {
  readonly path: string;
  /** @param target A model, and an agent of the same name. */
  readonly body: (target: string, more?: { readonly stream?: boolean; readonly params?: object }) => object;
  readonly readStream: (text: string) => StreamOutcome;
}

interface Chunk {
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason?: string | null;
  }[];
}

export const openai: Dialect = {
  path: '/v1/chat/completions',
  body: (model, { stream = true, params = {} } = {}) => ({
    model,
    messages: [{ role: 'user', content: 'x' }],
    stream,
    ...params,
  }),
  readStream(text) {
    const events = eventsOf(text.replaceAll(/^:.*\n\n/gm, ''));
    const last = events.at(-1)?.data ?? '';
    const isComplete = last === '[DONE]';
    const error = last.startsWith('{"error":') ? errorOf(JSON.parse(last)) : null;
    const chunks = events.filter(({ data }) => data.startsWith('{') && !data.startsWith('{"error"'));
    if (events.length - chunks.length > 1) throw new Error(`The stream ends more than once: ${text}`);
    const choices = chunks.flatMap(({ data }) => (JSON.parse(data) as Chunk).choices ?? []);
    return {
      output: choices.map(({ delta }) => delta.content ?? '').join(''),
      finishes: choices.flatMap(({ finish_reason: finish }) => finish ?? []),
      isComplete,
      error,
    };
  },
};

export const aiProcess: Dialect = {
  path: '/ai-process',
  body: (agent, { stream = true, params = {} } = {}) => ({ agent, input: 'x', stream, params }),
  readStream(text) {
    const { output, last, endings } = readProcessStream(text);
    if (endings > 1) throw new Error(`The stream ends more than once: ${text}`);
    const isComplete = last.name === 'done';
    const { finish_reason: finish } = JSON.parse(last.data) as { readonly finish_reason?: string };
    return {
      output,
      finishes: finish === undefined ? [] : [finish],
      isComplete,
      error: last.name === 'error' ? errorOf(JSON.parse(last.data)) : null,
    };
  },
};

export const dialects: readonly Dialect[] = [openai, aiProcess];
