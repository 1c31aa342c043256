import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { startRedis } from '../test/support/redis.ts';

// node bench/limits-rpm.ts [minutes]
//
// 60 requests a minute over two processes and a real Redis, asked for at ten times that rate. Prints how many were let in
// in each minute.

const minutes = Number(process.argv[2] ?? 3);
const redis = await startRedis();
const bin = resolve(import.meta.dirname, '../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-bench-'));
const configFile = join(folder, 'mizan.yaml');
writeFileSync(
  configFile,
  JSON.stringify({
    redis: { url: redis.url },
    auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
    providers: { sim: { kind: 'simulator' } },
    models: { quick: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    limits: { all: { rpm: 60 } },
    limiting: { machines: 2 },
  }),
);

function start(data: string) {
  const args = ['start', '--config', configFile, '--data', join(folder, data), '--port', '0', '--metrics-port', '0'];
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const { promise, resolve: listens } = Promise.withResolvers<string>();
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const url = /listens on (\S+?),/.exec(said)?.[1];
    if (url !== undefined) listens(url);
  });
  return { url: promise, end: () => child.kill('SIGTERM') };
}

const machines = [start('a'), start('b')];
try {
  const urls = await Promise.all(machines.map(({ url }) => url));
  const token = execFileSync(process.execPath, [bin, 'token', 'create', '--config', configFile]).toString().trim();
  const admitted = Array.from({ length: minutes }, () => 0);
  const others = new Map<number, number>();
  await wait(1500);
  const begun = performance.now();
  const asking: Promise<void>[] = [];
  for (let i = 0; i < minutes * 600; i++) {
    await wait(Math.max(0, begun + i * 100 - performance.now()));
    const minute = Math.floor((performance.now() - begun) / 60_000);
    const asked = fetch(`${urls[i % 2] ?? ''}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'quick', max_tokens: 1, messages: [{ role: 'user', content: 'Hi' }] }),
    }).then(async ({ status, body }) => {
      await body?.cancel();
      if (status === 200) admitted[minute] = (admitted[minute] ?? 0) + 1;
      else others.set(status, (others.get(status) ?? 0) + 1);
    });
    asking.push(asked);
  }
  await Promise.all(asking);
  process.stdout.write(`admitted in each minute: ${admitted.join(', ')}\n`);
  process.stdout.write(`refused, by status: ${JSON.stringify([...others])}\n`);
} finally {
  for (const machine of machines) machine.end();
  await redis.end();
  await wait(1000);
  rmSync(folder, { recursive: true, force: true });
}
