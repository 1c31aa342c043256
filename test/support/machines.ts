import { expect, vi } from 'vitest';
import { picosOf } from '../../src/core/money.ts';
import { openStore } from '../../src/store/index.ts';
import type { Answer } from './http.ts';
import { ask, post } from './http.ts';
import type { Running } from './mizan.ts';

/** A dollar for every token of the answer: `max_tokens` is what is held. */
const price = { input: 0, output: 1_000_000 };

/** An instance that is asked of the provider `up`. */
export const dearInstance = (id: string, model = id) => ({ id, provider: 'up', model, price });

/** The configuration of two machines that know of each other. */
export function pairOver(
  { redis, upstream }: { readonly redis: { readonly url: string }; readonly upstream: { readonly url: string } },
  models: readonly string[],
  more: object,
): object {
  return {
    redis: { url: redis.url },
    auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
    limiting: { machines: 2 },
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: Object.fromEntries(models.map((model) => [model, { instances: [dearInstance(model)] }])),
    ...more,
  };
}

/** A short question. */
export const bodyOf = (model: string, asked: object = {}) => ({
  model,
  max_tokens: 3,
  messages: [{ role: 'user', content: 'Hi' }],
  ...asked,
});

/** Asks both, in turn. */
export function inTurn(
  machines: readonly Running[],
  token: string,
): (model: string, asked?: object) => Promise<Answer> {
  let turn = 0;
  return (model, asked) => {
    const machine = machines[turn++ % machines.length];
    return post(`${machine?.url ?? ''}/v1/chat/completions`, token, bodyOf(model, asked));
  };
}

/** What keeps a machine from being all that it can be; `undefined` for nothing. */
export async function degraded({ url }: Running): Promise<unknown> {
  return ((await ask(`${url}/readyz`)).json as { readonly degraded?: unknown }).degraded;
}

/** Waits until all count together. */
export async function areShared(machines: readonly Running[]): Promise<void> {
  const isShared = (machine: Running): Promise<void> =>
    vi.waitFor(async () => expect(await degraded(machine)).toBeUndefined(), 15_000);
  await Promise.all(machines.map(isShared));
}

/** What the ledgers of all have, in picodollars; each adds up to its log. */
export async function soundBooks(machines: readonly Running[]): Promise<bigint> {
  let sum = 0n;
  for (const { dataFolder } of machines) {
    const store = await openStore({ folder: dataFolder, url: null });
    let log = 0n;
    for (let before: string | undefined; ;) {
      const records = await store.requestHistory.list('default', { limit: 1000, before });
      log += records.reduce((all, { costUsd }) => all + BigInt(picosOf(costUsd ?? 0)), 0n);
      if (records.length < 1000) break;
      before = records.at(-1)?.id;
    }
    const report = await store.ledger.check();
    await store.close();
    expect(report.faults).toEqual([]);
    expect(report.sum).toBe(log);
    sum += report.sum;
  }
  return sum;
}

export const dollars = (usd: number): bigint => BigInt(usd) * 1_000_000_000_000n;

export const count = (answers: readonly { readonly status: number }[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;
