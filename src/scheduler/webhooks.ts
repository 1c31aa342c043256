import { createHmac } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { Outgoing } from '../core/outgoing.ts';
import type { Secret } from '../core/secret.ts';
import type { PostWebhook, WebhookMessage } from '../core/webhooks.ts';

export interface Webhook {
  readonly url: Secret<string>;
  /** `null`: its requests are not signed. */
  readonly secret: Secret<string> | null;
  readonly format: 'mizan' | 'slack';
}

/** How long one try may take, how long is waited after each failed one, and how much of the answer is read. */
const limits = { deadlineMs: 10_000, pausesMs: [1000, 5000, 25_000], maxBytes: 64 * 1024 } as const;

/** Waits, or rejects at once when `signal` says so. */
type Pause = (ms: number, signal: AbortSignal) => Promise<void>;

/**
 * Posts through the guard of outgoing connections; signed as Standard Webhooks has it, so that its libraries verify it.
 * What is refused for good (4xx but 408, 425 and 429) is not tried again.
 */
export function webhookPoster(parts: {
  readonly webhooks: Readonly<Record<string, Webhook>>;
  readonly outgoing: Outgoing;
  readonly clock: Clock;
  readonly pause: Pause;
}): PostWebhook {
  const { webhooks, outgoing, clock, pause } = parts;
  return async (name, message, signal) => {
    const webhook = webhooks[name];
    if (webhook === undefined) throw new MizanError('not_found', `There is no webhook "${name}".`);
    let problem: MizanError | null = null;
    for (const pauseMs of [0, ...limits.pausesMs]) {
      if (pauseMs > 0) await pause(pauseMs, signal);
      signal.throwIfAborted();
      problem = await tryOnce(name, { webhook, message, outgoing, now: clock.now() });
      if (problem === null) return;
      if (problem.code === 'upstream_rejected') break;
    }
    if (problem !== null) throw problem;
  };
}

async function tryOnce(
  name: string,
  post: {
    readonly webhook: Webhook;
    readonly message: WebhookMessage;
    readonly outgoing: Outgoing;
    readonly now: number;
  },
): Promise<MizanError | null> {
  const { webhook, message, outgoing, now } = post;
  const body = JSON.stringify(bodyOf(webhook, message, now));
  try {
    const { status } = await outgoing({
      url: webhook.url.reveal(),
      method: 'POST',
      headers: { 'content-type': 'application/json', ...signature(webhook, { id: message.id, body, now }) },
      body,
      namedBy: 'listed',
      maxBytes: limits.maxBytes,
      deadlineMs: limits.deadlineMs,
    });
    if (status >= 200 && status < 300) return null;
    const isFinal = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
    return new MizanError(
      isFinal ? 'upstream_rejected' : 'upstream_error',
      `The webhook "${name}" answered ${status}.`,
    );
  } catch (error) {
    if (error instanceof MizanError) return error;
    throw error;
  }
}

function bodyOf({ format }: Webhook, { type, text, data }: WebhookMessage, now: number) {
  return format === 'slack' ? { text } : { type, timestamp: new Date(now).toISOString(), text, data };
}

/** https://www.standardwebhooks.com: HMAC-SHA256 over id, time and body; a secret that begins with `whsec_` is base64. */
function signature(
  { secret }: Webhook,
  { id, body, now }: { readonly id: string; readonly body: string; readonly now: number },
): Readonly<Record<string, string>> {
  const seconds = String(Math.floor(now / 1000));
  const headers = { 'webhook-id': id, 'webhook-timestamp': seconds };
  if (secret === null) return headers;
  const given = secret.reveal();
  const key = given.startsWith('whsec_') ? Buffer.from(given.slice(6), 'base64') : Buffer.from(given);
  const mac = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
  return { ...headers, 'webhook-signature': `v1,${mac}` };
}
