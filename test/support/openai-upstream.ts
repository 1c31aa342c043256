import type { ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import type { PreparedChat } from '../../src/core/chat.ts';
import { Secret } from '../../src/core/secret.ts';
import type { OngoingAttempt } from '../../src/core/upstream.ts';
import { HttpTransport } from '../../src/providers/http-transport.ts';
import type { OpenAICompatibleOptions } from '../../src/providers/openai-compatible.ts';
import { OpenAICompatible } from '../../src/providers/openai-compatible.ts';
import { Listener, preparedChat } from './attempts.ts';
import { ManualClock } from './clock.ts';
import type { ReceivedRequest } from './upstream.ts';
import { startUpstream } from './upstream.ts';

export const key = 'sk-our-own-very-secret-key-0123456789abcdef';
export const clock = new ManualClock(Date.UTC(2026, 0, 1, 12));

export const plain = '{"model":"asked-for","messages":[{"role":"user","content":"سلام"}]}';
export const streamed = '{"model":"asked-for","messages":[{"role":"user","content":"سلام"}],"stream":true}';

export function providerAt(origin: string, over: Partial<OpenAICompatibleOptions> = {}): OpenAICompatible {
  const transport = new HttpTransport(origin);
  const provider = new OpenAICompatible(
    {
      name: 'upstream',
      basePath: '/api/v1',
      apiKey: new Secret(key),
      headers: {},
      streamUsage: 'asked',
      continuation: 'prefill',
      prices: { of: () => null, lengthsOf: () => null },
      ...over,
    },
    transport,
    clock,
  );
  onTestFinished(() => provider.close());
  return provider;
}

export function ask(provider: OpenAICompatible, chat: PreparedChat): Listener & { readonly ongoing: OngoingAttempt } {
  const listener = new Listener();
  const ongoing = provider.chat({ chat, model: 'upstream/model', connectTimeoutMs: 5000 }, listener);
  return Object.assign(listener, { ongoing });
}

export type Answer = (request: ReceivedRequest, response: ServerResponse) => void;

export const answerWith =
  (status: number, headers: Readonly<Record<string, string>>, body: string | Buffer = ''): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  };

/** One attempt against an upstream that answers so. */
export async function asked(answer: Answer, body: string = plain, over: Partial<PreparedChat> = {}) {
  const upstream = await startUpstream(answer);
  const listener = ask(providerAt(upstream.origin), preparedChat(body, over));
  return { upstream, listener, last: await listener.last };
}

export const eventStream = { 'content-type': 'text/event-stream' };
export const delta = (content: string): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`;
export const finish = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
export const usageOnly = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n';
export const done = 'data: [DONE]\n\n';
