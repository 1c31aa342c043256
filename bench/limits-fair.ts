import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { bin, startMachine } from './machine.ts';

// node bench/limits-fair.ts [seconds]
//
// Tenant B sends 5 requests a second to a Mizan that answers 100 (ten at a time, 100 ms each), first alone and then beside
// tenant A, which sends fifty times as much. With the queue B's p99 is to be at most twice its p99 alone. Without it,
// beside that, for comparison: how many of B's are refused.

const seconds = Number(process.argv[2] ?? 40);
const perSecond = { b: 5, a: 250 } as const;
const folder = mkdtempSync(join(tmpdir(), 'mizan-bench-'));

interface Asked {
  readonly status: number;
  readonly ms: number;
}

async function start(name: string, waitMs: number) {
  const config = join(folder, `${name}.yaml`);
  const settings = {
    auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
    providers: { sim: { kind: 'simulator', latencyMs: 100 } },
    models: { quick: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    limits: { all: { maxInFlight: 10 } },
    limiting: { queue: { waitMs } },
  };
  writeFileSync(config, JSON.stringify(settings));
  const common = ['--config', config, '--data', join(folder, name)];
  const { url, kill } = await startMachine(config, join(folder, name));
  const token = (tenant: string): string =>
    execFileSync(process.execPath, [bin, 'token', 'create', '--tenant', tenant, ...common])
      .toString()
      .trim();
  return { url, a: token('a'), b: token('b'), end: () => void kill('SIGTERM') };
}

type Running = Awaited<ReturnType<typeof start>>;

/** Sends at a rate that doesn't depend on the answers. */
async function send({ url, ...tokens }: Running, tenant: 'a' | 'b', time = seconds): Promise<Asked[]> {
  const rate = perSecond[tenant];
  const begun = performance.now();
  const asking: Promise<Asked>[] = [];
  for (let i = 0; i < time * rate; i++) {
    const left = begun + (i * 1000) / rate - performance.now();
    if (left > 0) await wait(left);
    const at = performance.now();
    const asked = fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens[tenant]}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'quick', messages: [{ role: 'user', content: 'Hi' }] }),
    }).then(async (answer) => {
      await answer.arrayBuffer();
      return { status: answer.status, ms: performance.now() - at };
    });
    asking.push(asked);
  }
  return Promise.all(asking);
}

function tell(what: string, all: readonly Asked[]): number {
  const times = all
    .filter(({ status }) => status === 200)
    .map(({ ms }) => ms)
    .toSorted((x, y) => x - y);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const figures = `p50 ${at(0.5).toFixed(0)} ms, p99 ${at(0.99).toFixed(0)} ms`;
  process.stdout.write(`${what}: ${times.length} of ${all.length} answered, ${figures}\n`);
  return at(0.99);
}

async function beside(running: Running): Promise<readonly [a: Asked[], b: Asked[]]> {
  return Promise.all([send(running, 'a'), send(running, 'b')]);
}

const queued = await start('queued', 5000);
const refusing = await start('refusing', 0);
try {
  // So that neither is measured while it is still being compiled.
  for (const each of [queued, refusing]) await Promise.all([send(each, 'a', 3), send(each, 'b', 3)]);
  const alone = tell('B alone', await send(queued, 'b'));
  const [a, b] = await beside(queued);
  tell('A, with the queue', a);
  const p99 = tell('B beside it', b);
  process.stdout.write(`B's p99 is ${(p99 / alone).toFixed(2)} times its p99 alone\n`);
  const [, without] = await beside(refusing);
  tell('B beside A without the queue', without);
} finally {
  queued.end();
  refusing.end();
  await wait(1000);
  rmSync(folder, { recursive: true, force: true });
}
