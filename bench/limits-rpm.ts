import { setTimeout as wait } from 'node:timers/promises';
import { limitsStage, mostInAMinute } from './limits-stage.ts';

// node bench/limits-rpm.ts [minutes]
//
// 60 requests a minute over two processes and a real Redis, asked for at ten times that rate. Prints how many were let in
// in each minute.

const minutes = Number(process.argv[2] ?? 3);
const stage = await limitsStage({ limits: { all: { rpm: 60 } } });
try {
  const admitted = Array.from({ length: minutes }, () => 0);
  const times: number[] = [];
  const others = new Map<number, number>();
  await wait(1500);
  const begun = performance.now();
  const asking: Promise<void>[] = [];
  for (let i = 0; i < minutes * 600; i++) {
    await wait(Math.max(0, begun + i * 100 - performance.now()));
    const askedAt = performance.now() - begun;
    const minute = Math.floor(askedAt / 60_000);
    const asked = stage.chat(i % 2, 'quick').then((status) => {
      if (status !== 200) return void others.set(status, (others.get(status) ?? 0) + 1);
      admitted[minute] = (admitted[minute] ?? 0) + 1;
      times.push(askedAt);
    });
    asking.push(asked);
  }
  await Promise.all(asking);
  const most = mostInAMinute(times.toSorted((a, b) => a - b));
  process.stdout.write(`admitted in each minute: ${admitted.join(', ')}; the most in any: ${most}\n`);
  process.stdout.write(`refused, by status: ${JSON.stringify([...others])}\n`);
} finally {
  await stage.end();
}
