import { Pool } from 'undici';
import type { Scenario } from './scenario.ts';

/** What one caller saw of one call. */
export interface Seen {
  readonly isStream: boolean;
  /** The error's code; `null` for an answer that was complete. */
  readonly error: string | null;
  /** Whether the error came after a part of the answer. */
  readonly isBroken: boolean;
  readonly attempts: number;
  /** The whole call, in ms; likewise until the first piece of the answer. */
  readonly latencyMs: number;
  readonly firstMs: number;
}

/** Makes the scenario's calls over HTTP, as applications would. */
export async function makeCalls(url: string, token: string, model: string, scenario: Scenario): Promise<Seen[]> {
  const pool = new Pool(url, { headersTimeout: 0, bodyTimeout: 0 });
  const seen: Seen[] = [];
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < scenario.calls) {
      const number = next++;
      const isStream = scenario.stream === 'all' || (scenario.stream === 'half' && number % 2 === 0);
      const messages = [{ role: 'user', content: `${scenario.input} (${number})` }];
      seen.push(await call(pool, token, { model, stream: isStream, messages }));
      if (scenario.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, scenario.pauseMs));
    }
  };
  await Promise.all(Array.from({ length: Math.min(scenario.concurrency, scenario.calls) }, caller));
  await pool.close();
  return seen;
}

async function call(
  pool: Pool,
  token: string,
  body: { readonly model: string; readonly stream: boolean; readonly messages: readonly unknown[] },
): Promise<Seen> {
  const startedAt = performance.now();
  const answer = await pool.request({
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  let firstMs = 0;
  let text = '';
  for await (const piece of answer.body) {
    if (firstMs === 0) firstMs = performance.now() - startedAt;
    text += (piece as Buffer).toString('utf8');
  }
  const error = answer.statusCode === 200 && !body.stream ? null : errorIn(text, answer.statusCode);
  return {
    isStream: body.stream,
    error,
    isBroken: error !== null && answer.statusCode === 200,
    attempts: Number(answer.headers['x-mizan-attempts'] ?? 0),
    latencyMs: performance.now() - startedAt,
    firstMs,
  };
}

/** A complete stream ends in `[DONE]`; one that broke off, in an error; anything else is a lie. */
function errorIn(text: string, status: number): string | null {
  if (status === 200 && text.trimEnd().endsWith('data: [DONE]')) return null;
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  try {
    const parsed = JSON.parse(last.replace(/^data: /, '')) as { error?: { code?: string } };
    return parsed.error?.code ?? 'no_terminator';
  } catch {
    return 'no_terminator';
  }
}
