import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ask, errorOf, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';

vi.setConfig({ testTimeout: 120_000 });

/**
 * The lag from which the lowest class is refused, in ms; the highest is from four times of it: more than a busy machine
 * adds by itself.
 */
const lagMs = 500;

let mizan: Running;

beforeAll(async () => {
  mizan = await runMizan({
    providers: { sim: { kind: 'simulator' } },
    models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    limiting: { overload: { lagMs } },
  });
});

afterAll(() => mizan.end());

/** Keeps the event loop from everything for so long, turn after turn, until it is told to stop. */
function lagging(ms: number): () => void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  let isOver = false;
  const block = (): void => {
    Atomics.wait(never, 0, 0, ms);
    // Once in every turn. Shorter turns in between would hide it: the lag is a mean of all.
    if (!isOver) setImmediate(block);
  };
  block();
  return () => {
    isOver = true;
  };
}

test('while the event loop lags, the lowest class is refused and the highest is not, until it does no more', async () => {
  const classes = ['low', 'normal', 'high'] as const;
  const tokens = await Promise.all(classes.map((priority) => mizan.token({ subject: priority, priority })));
  const body = { model: 'words', max_tokens: 3, messages: [{ role: 'user', content: 'Hi' }] };
  const round = () => Promise.all(tokens.map((token) => post(`${mizan.url}/v1/chat/completions`, token, body)));
  const statuses = async (): Promise<number[]> => (await round()).map(({ status }) => status);
  const areTaken = (): Promise<void> =>
    vi.waitFor(async () => expect(await statuses()).toEqual([200, 200, 200]), 30_000);
  await areTaken();
  const stop = lagging(lagMs * 1.4);
  const rounds = [];
  try {
    for (let shed = 0; shed < 2; shed += rounds.at(-1)![0]!.status === 503 ? 1 : 0) rounds.push(await round());
  } finally {
    stop();
  }
  const [low] = rounds.at(-1)!;
  expect(errorOf(low!.json)).toMatchObject({ code: 'overloaded', type: 'unavailable' });
  expect(errorOf(low!.json).message).toContain('takes no low requests now');
  expect(low!.headers.get('retry-after')).toBe('1');
  expect(rounds.map(([, , high]) => high!.status)).toEqual(rounds.map(() => 200));
  await areTaken();
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  const shed = (priority: string): number =>
    Number(new RegExp(`^mizan_shed_total\\{class="${priority}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  expect(shed('low')).toBeGreaterThanOrEqual(2);
  expect(shed('low')).toBeGreaterThanOrEqual(shed('normal'));
  expect(shed('high')).toBe(0);
});
