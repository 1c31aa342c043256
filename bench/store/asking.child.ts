/**
 * Asks for things in a loop for as long as it is told to: `go` and `stop` on stdin, and after each `stop` a line of JSON on
 * stdout with how often each path was answered and how long that took. A process of its own, so that whoever measures
 * others doesn't read these answers.
 *
 *   BASE=http://… TOKEN=… node asking.child.ts PATH…
 */
import { createInterface } from 'node:readline';
import { Agent, request } from 'undici';

const { BASE: base = '', TOKEN: token = '' } = process.env;
const paths = process.argv.slice(2);
const dispatcher = new Agent({ connections: 4, bodyTimeout: 0, headersTimeout: 0 });
const headers = { authorization: `Bearer ${token}` };
const state = { isGoing: false };
let took: number[][] = [];

async function ask(path: string, times: number[]): Promise<void> {
  const at = performance.now();
  const { body, statusCode } = await request(`${base}${path}`, { dispatcher, headers });
  await body.dump();
  if (statusCode !== 200) throw new Error(`${path} was answered with ${statusCode}`);
  times.push(performance.now() - at);
}

async function work(): Promise<void> {
  while (state.isGoing) await Promise.all(paths.map((path, i) => ask(path, took[i] ?? [])));
  process.stdout.write(`${JSON.stringify(took)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  state.isGoing = line === 'go';
  if (!state.isGoing) continue;
  took = paths.map(() => []);
  void work();
}
await dispatcher.close();
