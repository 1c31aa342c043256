import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisServer } from '../test/support/redis.ts';
import { startRedis } from '../test/support/redis.ts';
import type { Machine } from './machine.ts';
import { bin, startMachine } from './machine.ts';

/** Two processes that share limits by way of a real Redis. */
export interface LimitsStage {
  readonly redis: RedisServer;
  readonly machines: readonly Machine[];
  /** Asks one of them for `model`; the status it answers with, 0 where it does not. */
  chat(machine: number, model: string, maxTokens?: number): Promise<number>;
  /** Runs a command of Mizan on a machine's data folder; what it said. */
  command(machine: number, ...args: string[]): string;
  end(): Promise<void>;
}

/** @param rules `limits:` and `budgets:`, over the models `quick` and `never`, whose answers cost a dollar a token. */
export async function limitsStage(rules: object): Promise<LimitsStage> {
  const redis = await startRedis();
  const folder = mkdtempSync(join(tmpdir(), 'mizan-bench-'));
  const configFile = join(folder, 'mizan.yaml');
  const model = (provider: string) => ({
    instances: [{ id: 'a', provider, model: 'simulator', price: { input: 0, output: 1_000_000 } }],
  });
  const config = {
    redis: { url: redis.url },
    auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
    providers: { sim: { kind: 'simulator' }, slow: { kind: 'simulator', latencyMs: 120_000 } },
    models: { quick: model('sim'), never: model('slow') },
    limiting: { machines: 2 },
    ...rules,
  };
  writeFileSync(configFile, JSON.stringify(config));
  const machines = await Promise.all(['a', 'b'].map((name) => startMachine(configFile, join(folder, name))));
  const token = execFileSync(process.execPath, [bin, 'token', 'create', '--config', configFile]).toString().trim();
  return {
    redis,
    machines,
    async chat(machine, asked, maxTokens = 1) {
      const answer = await fetch(`${machines[machine]?.url ?? ''}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: asked, max_tokens: maxTokens, messages: [{ role: 'user', content: 'Hi' }] }),
      }).catch(() => null);
      await answer?.body?.cancel();
      return answer?.status ?? 0;
    },
    command(machine, ...args) {
      const at = ['--config', configFile, '--data', machines[machine]?.dataFolder ?? ''];
      return execFileSync(process.execPath, [bin, ...args, ...at], { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
    },
    async end() {
      await Promise.all(machines.map((machine) => machine.kill('SIGTERM')));
      await redis.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The most that came within any minute. @param times In ms, in their order. */
export function mostInAMinute(times: readonly number[]): number {
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while ((times[to] ?? 0) - (times[from] ?? 0) >= 60_000) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}
