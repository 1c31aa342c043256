import type { ServerResponse } from 'node:http';
import { HeldWrites } from '../../core/held-writes.ts';
import type { QuotaLeft } from '../../core/quota.ts';
import type { AnswerHead } from '../../flow/call.ts';

export type AnswerHeaders = Record<string, string | number>;

/** The headers that every answer of `/v1` and `/ai-process` has, as far as they are known. */
export function answerHeaders(requestId: string, head: AnswerHead): AnswerHeaders {
  const headers: AnswerHeaders = {
    'x-request-id': requestId,
    'x-mizan-cache': head.cache,
    'x-mizan-attempts': head.attempts,
    'server-timing': `gateway;dur=${head.gatewayMs.toFixed(2)}, upstream;dur=${head.upstreamMs.toFixed(2)}${queueTime(head)}`,
  };
  if (head.age !== undefined) headers['age'] = head.age;
  if (head.cache === 'hit' || head.cache === 'coalesced') headers['x-mizan-charged'] = 'no';
  if (head.agent !== null) headers['x-mizan-agent'] = head.agent;
  if (head.model !== null) headers['x-mizan-model'] = head.model;
  if (head.instance !== null) headers['x-mizan-instance'] = head.instance;
  if (head.quota) {
    addQuota(headers, 'requests', head.quota.requests);
    addQuota(headers, 'tokens', head.quota.tokens);
  }
  return headers;
}

function queueTime({ queuedMs }: AnswerHead): string {
  return queuedMs === undefined ? '' : `, queue;dur=${queuedMs.toFixed(2)}`;
}

/** As OpenAI names and writes them. */
function addQuota(headers: AnswerHeaders, kind: 'requests' | 'tokens', left: QuotaLeft | null): void {
  if (left === null) return;
  headers[`x-ratelimit-limit-${kind}`] = left.limit;
  headers[`x-ratelimit-remaining-${kind}`] = left.remaining;
  headers[`x-ratelimit-reset-${kind}`] = shortTime(left.resetMs ?? 0);
}

/** `12ms`, `1.5s`, `1m0s` */
function shortTime(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  if (ms < 60_000) return `${Math.ceil(ms / 10) / 100}s`;
  const seconds = Math.ceil(ms / 1000);
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** Bodies up to this size are joined to their head, in bytes: a copy costs less than a second write. */
const maxJoined = 16 * 1024;

export function sendBody(
  raw: ServerResponse,
  answer: { readonly status: number; readonly headers: AnswerHeaders; readonly body: Buffer | string },
): void {
  const { status, headers, body } = answer;
  headers['content-type'] ??= 'application/json; charset=utf-8';
  headers['content-length'] = Buffer.byteLength(body);
  raw.writeHead(status, headers);
  // Byte for byte the same, and as a text it goes out in one piece with the head.
  if (typeof body !== 'string' && body.length <= maxJoined) raw.end(body.toString('latin1'), 'latin1');
  else raw.end(body);
}

/** Begins a stream of events. Proxies on the way are asked not to collect it. */
export function beginStream(raw: ServerResponse, headers: AnswerHeaders): void {
  headers['content-type'] = 'text/event-stream; charset=utf-8';
  headers['cache-control'] = 'no-cache';
  headers['x-accel-buffering'] = 'no';
  raw.writeHead(200, headers);
}

/** Of all streams, at most one write in this time, in ms: nobody sees it, and a busy process wakes its callers less. */
const events = new HeldWrites(1);

/**
 * Sends a part of a stream, about at once.
 * @param drained Called once there is room again, where there is none now.
 * @returns Whether there is.
 */
export function writeEvents(raw: ServerResponse, part: Buffer | string, drained: () => void): boolean {
  if (raw.socket !== null) events.hold(raw.socket);
  if (raw.write(part)) return true;
  raw.once('drain', drained);
  return false;
}
