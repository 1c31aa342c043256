import type { Quota, QuotaLeft } from '../core/quota.ts';
import type { TransportHeaders } from './transport.ts';

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `6m0s`, `17ms`, `1.5s` as OpenAI writes it, or plain seconds; in ms. */
function durationMs(text: string): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  let sum = 0;
  let rest = text;
  while (rest !== '') {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)/.exec(rest);
    if (match === null) return null;
    sum += Number(match[1]) * (unitsMs[match[2] ?? ''] ?? 0);
    rest = rest.slice(match[0].length);
  }
  return text === '' ? null : sum;
}

/**
 * What is left, by `x-ratelimit-limit|remaining|reset-requests|tokens` (OpenAI and those who follow it). Bare
 * `x-ratelimit-*` (OpenRouter) counts requests, and its reset is a moment in ms since the Unix epoch.
 */
export function quotaOf(headers: TransportHeaders, now: number): Quota | null {
  const requests = leftOf(headers, '-requests', now) ?? leftOf(headers, '', now);
  const tokens = leftOf(headers, '-tokens', now);
  return requests === null && tokens === null ? null : { requests, tokens };
}

function leftOf(headers: TransportHeaders, suffix: string, now: number): QuotaLeft | null {
  const remaining = numberIn(headers[`x-ratelimit-remaining${suffix}`]);
  const limit = numberIn(headers[`x-ratelimit-limit${suffix}`]);
  if (remaining === null || limit === null || limit <= 0) return null;
  const reset = headers[`x-ratelimit-reset${suffix}`];
  return { limit, remaining, resetMs: typeof reset === 'string' ? resetMs(reset, now) : null };
}

/** From 10⁹ on it is a moment, in seconds or in ms; below, a time from now. */
function resetMs(text: string, now: number): number | null {
  const value = Number(text);
  if (value >= 1e12) return Math.max(0, value - now);
  if (value >= 1e9) return Math.max(0, value * 1000 - now);
  return durationMs(text.trim());
}

function numberIn(value: string | readonly string[] | undefined): number | null {
  if (typeof value !== 'string' || !/^\d+(\.\d+)?$/.test(value)) return null;
  return Number(value);
}
