import type { PreparedChat } from '../core/chat.ts';
import type { Clock } from '../core/clock.ts';
import type { JsonEdit, JsonObject } from '../core/json-document.ts';
import type { Secret } from '../core/secret.ts';
import type { AttemptHandler, ChatAttempt, LookedUp, LookUp, OngoingAttempt, Provider } from '../core/upstream.ts';
import type { Price } from '../core/usage.ts';
import { ChatExchange } from './chat-exchange.ts';
import { lookUp } from './look-up.ts';
import type { Transport } from './transport.ts';

/** Shorter values of headers are taken for words. In characters. */
const leastSecret = 8;

export interface OpenAICompatibleOptions {
  readonly name: string;
  /** The base URL's path, without a slash at its end: `/api/v1`. */
  readonly basePath: string;
  readonly apiKey: Secret<string> | null;
  /** Lower-case names; they go before everything but the content type. */
  readonly headers: Readonly<Record<string, string>>;
  readonly streamUsage: 'asked' | 'always';
  readonly continuation: Provider['continuation'];
  /** By the upstream's model names. */
  readonly prices: Readonly<Record<string, Price>>;
  /** Of all models that `prices` doesn't name. */
  readonly price: Price | null;
}

/**
 * Any service that speaks OpenAI's dialect. The caller's body is passed through: only `model` and, on streams,
 * `stream_options` are changed; the upstream's bytes come back as they are.
 */
export class OpenAICompatible implements Provider {
  readonly name: string;
  readonly continuation: Provider['continuation'];
  readonly #options: OpenAICompatibleOptions;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #headers: Readonly<Record<'answer' | 'stream', Readonly<Record<string, string>>>>;

  constructor(options: OpenAICompatibleOptions, transport: Transport, clock: Clock) {
    this.name = options.name;
    this.continuation = options.continuation;
    this.#options = options;
    this.#transport = transport;
    this.#clock = clock;
    this.#path = `${options.basePath}/chat/completions`;
    const common = {
      'user-agent': 'mizan',
      ...options.headers,
      ...(options.apiKey === null ? {} : { authorization: `Bearer ${options.apiKey.reveal()}` }),
      'content-type': 'application/json',
    };
    this.#headers = {
      answer: { ...common, accept: 'application/json' },
      stream: { ...common, accept: 'text/event-stream' },
    };
  }

  priceOf(model: string): Price | null {
    const { prices, price } = this.#options;
    return Object.hasOwn(prices, model) ? (prices[model] ?? price) : price;
  }

  chat(attempt: ChatAttempt, handler: AttemptHandler): OngoingAttempt {
    const { chat } = attempt;
    const exchange = new ChatExchange(
      { provider: this.name, stream: chat.stream, wantsUsage: chat.wantsUsage, scrub: this.#scrub, clock: this.#clock },
      handler,
    );
    exchange.start(this.#transport, {
      path: this.#path,
      headers: chat.stream ? this.#headers.stream : this.#headers.answer,
      body: chat.body.edited(this.#edits(chat, attempt.model)),
      connectTimeoutMs: attempt.connectTimeoutMs,
    });
    return exchange;
  }

  lookUp({ path, ...limits }: LookUp): Promise<LookedUp> {
    const { basePath } = this.#options;
    const { 'content-type': _, ...headers } = this.#headers.answer;
    return lookUp(this.#transport, { path: `${basePath}${path}`, headers }, limits);
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  #edits(chat: PreparedChat, model: string): JsonEdit[] {
    const edits: JsonEdit[] = [...chat.edits, { member: 'model', json: JSON.stringify(model), at: 'value' }];
    if (chat.stream && this.#options.streamUsage === 'asked') {
      const given = chat.body.value['stream_options'];
      const known = (typeof given === 'object' ? given : null) as JsonObject | null;
      if (known?.['include_usage'] === true) return edits;
      const options = { ...known, include_usage: true };
      edits.push({ member: 'stream_options', json: JSON.stringify(options), at: 'value' });
    }
    return edits;
  }

  /** Our own key in an upstream's words ("incorrect API key: …") stays ours, in whichever header it is sent. */
  readonly #scrub = (text: string): string => {
    const { apiKey, headers } = this.#options;
    const keys = Object.values(headers).filter((value) => value.length >= leastSecret);
    if (apiKey !== null && apiKey.reveal() !== '') keys.unshift(apiKey.reveal());
    return keys.reduce((scrubbed, key) => scrubbed.replaceAll(key, '[secret]'), text);
  };
}
