import type { Price } from '../core/usage.ts';

/** What is known of a service that speaks OpenAI's dialect. Everything below reads rows; nothing enumerates names. */
export interface CatalogueRow {
  /** With its path; `null` where the config has to give it. */
  readonly baseUrl: string | null;
  /** Whether it refuses requests without an API key. */
  readonly needsKey: boolean;
  /**
   * How a stream's usage is had: `asked` by `stream_options.include_usage`, or sent `always`; there the member is
   * left alone, since some of these services refuse bodies with members they don't know.
   */
  readonly streamUsage: 'asked' | 'always';
  /** How its models go on with an answer that broke off. */
  readonly continuation: 'prefill' | 'instruction';
  /** Sent with every request, below what the config adds. Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Prices of all its models, where the service as a whole has one. */
  readonly price?: Price;
}

/** OpenRouter's app attribution: which product a request came from. */
const attribution = { 'http-referer': 'https://github.com/mizan-ai/mizan', 'x-title': 'Mizan' };

export const catalogue = {
  openrouter: {
    baseUrl: 'https://openrouter.ai/api/v1',
    needsKey: true,
    streamUsage: 'always',
    continuation: 'prefill',
    headers: attribution,
  },
  openai: { baseUrl: 'https://api.openai.com/v1', needsKey: true, streamUsage: 'asked', continuation: 'instruction' },
  groq: {
    baseUrl: 'https://api.groq.com/openai/v1',
    needsKey: true,
    streamUsage: 'asked',
    continuation: 'instruction',
  },
  together: { baseUrl: 'https://api.together.xyz/v1', needsKey: true, streamUsage: 'asked', continuation: 'prefill' },
  deepseek: {
    baseUrl: 'https://api.deepseek.com/v1',
    needsKey: true,
    streamUsage: 'asked',
    continuation: 'instruction',
  },
  mistral: { baseUrl: 'https://api.mistral.ai/v1', needsKey: true, streamUsage: 'always', continuation: 'instruction' },
  fireworks: {
    baseUrl: 'https://api.fireworks.ai/inference/v1',
    needsKey: true,
    streamUsage: 'asked',
    continuation: 'prefill',
  },
  xai: { baseUrl: 'https://api.x.ai/v1', needsKey: true, streamUsage: 'asked', continuation: 'instruction' },
  ollama: { baseUrl: 'http://127.0.0.1:11434/v1', needsKey: false, streamUsage: 'asked', continuation: 'prefill' },
  vllm: { baseUrl: 'http://127.0.0.1:8000/v1', needsKey: false, streamUsage: 'asked', continuation: 'prefill' },
  'lm-studio': { baseUrl: 'http://127.0.0.1:1234/v1', needsKey: false, streamUsage: 'asked', continuation: 'prefill' },
  'openai-compatible': { baseUrl: null, needsKey: false, streamUsage: 'asked', continuation: 'prefill' },
} as const satisfies Record<string, CatalogueRow>;

export type CatalogueKind = keyof typeof catalogue;
