import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { loadConfig } from '../src/config/load.ts';
import { seededRandom } from '../src/core/random.ts';
import { startMizan } from '../src/main.ts';

// Can a tenant find out by time whether another has asked the same? One tenant asks something; then another asks the
// same, and something that nobody has asked, in an order that changes. If the two can't be told apart, their times are
// of one distribution: that is looked at by Mann and Whitney's test and by that of Kolmogorov and Smirnov.

const flags = {
  rounds: { type: 'string', default: '3000' },
  seed: { type: 'string', default: '1' },
} as const;

/** By the normal approximation, two-sided; and how likely the first is larger. */
function mannWhitney(
  one: readonly number[],
  other: readonly number[],
): { readonly p: number; readonly larger: number } {
  const all = [...one.map((ms) => ({ ms, isOne: true })), ...other.map((ms) => ({ ms, isOne: false }))];
  const ranked = all.toSorted((a, b) => a.ms - b.ms);
  let ranks = 0;
  for (const [i, { isOne }] of ranked.entries()) if (isOne) ranks += i + 1;
  const [n, m] = [one.length, other.length];
  const u = ranks - (n * (n + 1)) / 2;
  const z = (u - (n * m) / 2) / Math.sqrt((n * m * (n + m + 1)) / 12);
  return { p: 2 * (1 - normal(Math.abs(z))), larger: u / (n * m) };
}

/** Abramowitz and Stegun 26.2.17. */
function normal(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const sum = [0.31938153, -0.356563782, 1.781477937, -1.821255978, 1.330274429].reduceRight(
    (rest, b) => (rest + b) * t,
    0,
  );
  return 1 - (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * sum;
}

/** The largest distance of the two, and how likely one of that size is by chance. */
function kolmogorovSmirnov(
  one: readonly number[],
  other: readonly number[],
): { readonly d: number; readonly p: number } {
  const [a, b] = [one.toSorted((x, y) => x - y), other.toSorted((x, y) => x - y)];
  let [i, j, d] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    if ((a[i] ?? 0) <= (b[j] ?? 0)) i++;
    else j++;
    d = Math.max(d, Math.abs(i / a.length - j / b.length));
  }
  const n = (a.length * b.length) / (a.length + b.length);
  const x = (Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n)) * d;
  let p = 0;
  for (let k = 1; k <= 100; k++) p += 2 * (k % 2 === 1 ? 1 : -1) * Math.exp(-2 * k * k * x * x);
  return { d, p: Math.min(1, Math.max(0, p)) };
}

const quantile = (values: readonly number[], q: number): string =>
  (values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? 0).toFixed(3);

const answer = JSON.stringify({
  id: 'x',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
});

async function main(): Promise<void> {
  const { values } = parseArgs({ options: flags });
  const random = seededRandom(Number(values.seed));
  let calls = 0;
  const upstream = createServer((request, response) => {
    request.resume().on('end', () => {
      calls++;
      response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
    });
  }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const folder = mkdtempSync(join(tmpdir(), 'mizan-timing-'));
  const file = join(folder, 'mizan.yaml');
  const baseUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`;
  writeFileSync(
    file,
    JSON.stringify({
      providers: { mock: { kind: 'openai-compatible', baseUrl } },
      models: { fast: { instances: [{ id: 'a', provider: 'mock', model: 'm' }], cache: 'always' } },
      agents: { assistant: { model: 'fast' } },
    }),
  );
  const config = loadConfig({
    file,
    env: { LOG_LEVEL: 'fatal' },
    secrets: () => new Map(),
    cliOverrides: { port: 0, metricsPort: 0 },
  });
  const mizan = await startMizan(config, join(folder, 'data'), { role: 'gateway' });
  const grant = { subject: 'bench', role: 'member', agents: null, ttl: 3600 } as const;
  const tokenOf = (tenant: string): Promise<string> => mizan.tokens.sign({ ...grant, tenant }, Date.now());
  const [first, second] = [await tokenOf('first'), await tokenOf('second')];
  const pool = new Pool(mizan.url, { connections: 1 });
  const ask = async (token: string, content: string): Promise<number> => {
    const from = performance.now();
    const { body } = await pool.request({
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'fast', messages: [{ role: 'user', content }] }),
    });
    await body.text();
    return performance.now() - from;
  };
  const same: number[] = [];
  const fresh: number[] = [];
  const rounds = Number(values.rounds);
  const warmUp = 300;
  for (let i = -warmUp; i < rounds; i++) {
    const told = `question ${String(i + warmUp).padStart(8, '0')}`;
    const never = `question ${String(i + warmUp + 50_000_000).padStart(8, '0')}`;
    await ask(first, told);
    const isFirst = random() < 0.5;
    const one = await ask(second, isFirst ? told : never);
    const other = await ask(second, isFirst ? never : told);
    if (i < 0) continue;
    same.push(isFirst ? one : other);
    fresh.push(isFirst ? other : one);
  }
  const { p, larger } = mannWhitney(same, fresh);
  const ks = kolmogorovSmirnov(same, fresh);
  const line = (name: string, times: readonly number[]): string =>
    `${name}: p50 ${quantile(times, 0.5)} ms, p90 ${quantile(times, 0.9)} ms, p99 ${quantile(times, 0.99)} ms\n`;
  process.stdout.write(
    `${rounds} rounds, ${calls} upstream calls for ${3 * (rounds + warmUp)} requests.\n` +
      line('what another tenant has asked', same) +
      line('what nobody has asked        ', fresh) +
      `Mann-Whitney: p = ${p.toFixed(3)}, the first is slower in ${(larger * 100).toFixed(1)} % of pairs.\n` +
      `Kolmogorov-Smirnov: D = ${ks.d.toFixed(4)}, p = ${ks.p.toFixed(3)}.\n`,
  );
  if (calls !== 3 * (rounds + warmUp)) process.exitCode = 1;
  await pool.close();
  await mizan.close();
  upstream.close();
  upstream.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}

await main();
