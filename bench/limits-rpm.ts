import { setTimeout as wait } from 'node:timers/promises';
import { post } from '../test/support/http.ts';
import { startProcess } from '../test/support/mizan.ts';
import { startRedis } from '../test/support/redis.ts';

// node bench/limits-rpm.ts [minutes]
//
// 60 requests a minute over two processes and a real Redis, asked for at ten times that rate. Prints how many were let in
// in each minute.

const minutes = Number(process.argv[2] ?? 3);
const redis = await startRedis();
const config = {
  redis: { url: redis.url },
  auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
  providers: { sim: { kind: 'simulator' } },
  models: { quick: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
  limits: { all: { rpm: 60 } },
  limiting: { machines: 2 },
};
const machines = await Promise.all([startProcess(config), startProcess(config)]);
try {
  const token = (await machines[0]?.token()) ?? '';
  const admitted = Array.from({ length: minutes }, () => 0);
  const others = new Map<number, number>();
  await wait(1500);
  const begun = performance.now();
  const asking: Promise<void>[] = [];
  for (let i = 0; i < minutes * 600; i++) {
    await wait(Math.max(0, begun + i * 100 - performance.now()));
    const { url } = machines[i % 2] ?? { url: '' };
    const minute = Math.floor((performance.now() - begun) / 60_000);
    const body = { model: 'quick', max_tokens: 1, messages: [{ role: 'user', content: 'Hi' }] };
    const asked = post(`${url}/v1/chat/completions`, token, body).then(({ status }) => {
      if (status === 200) admitted[minute] = (admitted[minute] ?? 0) + 1;
      else others.set(status, (others.get(status) ?? 0) + 1);
    });
    asking.push(asked);
  }
  await Promise.all(asking);
  process.stdout.write(`admitted in each minute: ${admitted.join(', ')}\n`);
  process.stdout.write(`refused, by status: ${JSON.stringify([...others])}\n`);
} finally {
  await Promise.all(machines.map((machine) => machine.end()));
  await redis.end();
}
