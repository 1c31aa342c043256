import { z } from 'zod';
import type { RequestRecord } from '../core/request-record.ts';

/** The event with a row that could not be written, whole, in a log of Mizan's. */
const rowEvent = 'request_log_row_dropped';

const count = z.int().nonnegative();
const ms = z.number().nonnegative();

const step = z.object({
  model: z.string(),
  instance: z.string(),
  provider: z.string(),
  outcome: z.string(),
  detail: z.string().nullable(),
  purpose: z.enum(['first', 'retry', 'hedge', 'resume']),
  startedMs: z.number(),
  durationMs: z.number(),
});

const charge = z.object({
  seq: count,
  model: z.string(),
  cost: z.int(),
  budgets: z.array(z.tuple([z.string(), z.int()])),
});

const row = z.object({
  id: z.string().min(1),
  time: count,
  tenant: z.string().min(1),
  principal: z.string(),
  agent: z.string().nullable(),
  model: z.string().nullable(),
  instance: z.string().nullable(),
  provider: z.string().nullable(),
  stream: z.boolean(),
  status: z.int(),
  errorCode: z.string().nullable(),
  errorMessage: z.string().nullable(),
  attempts: count,
  cache: z.enum(['hit', 'miss', 'coalesced', 'bypass']),
  inputTokens: count.nullable(),
  outputTokens: count.nullable(),
  costUsd: z.number().nullable(),
  usageSource: z.enum(['upstream', 'received', 'none']),
  gatewayMs: ms,
  queuedMs: ms.nullable(),
  upstreamMs: ms,
  firstTokenMs: ms.nullable(),
  finishReason: z.string().nullable(),
  resumed: count,
  session: z.string().nullable(),
  tags: z.record(z.string(), z.string()).nullable(),
  trail: z.array(step).nullable(),
  charges: z.array(charge).optional(),
});

const line = z.object({ event: z.literal(rowEvent), row });

/** What a line of a log is: a row that was given up, one that is damaged, or something else (`null`). */
export function rowOf(text: string): RequestRecord | 'damaged' | null {
  if (!text.includes(rowEvent)) return null;
  try {
    // Whoever carries a log may put something before its lines: a time, the name of a container.
    const parsed = line.safeParse(JSON.parse(text.slice(text.indexOf('{'))));
    return parsed.success ? (parsed.data.row as RequestRecord) : 'damaged';
  } catch {
    return 'damaged';
  }
}
