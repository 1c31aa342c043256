import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';

const mizan = fileURLToPath(new URL('../../bin/mizan.js', import.meta.url));
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function simulate(...options: string[]) {
  const child = spawn(process.execPath, [mizan, 'simulate', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const said = { err: '', out: '' };
  child.stderr.on('data', (chunk) => (said.err += String(chunk)));
  child.stdout.on('data', (chunk) => (said.out += String(chunk)));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, said, ended };
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'it says where it listens, answers, and ends with 0 on %s',
  async (signal) => {
    const { child, said, ended } = simulate('--port', '0', '--fault', 'status; code=418');
    await expect.poll(() => said.err, { timeout: 20_000 }).toMatch(/\ncurl .*\n$/);
    const [line, curl] = said.err.split('\n');
    const url = /^The simulator listens on (http:\/\/127\.0\.0\.1:\d+\/v1)$/.exec(line!)?.[1];
    expect(curl).toContain(`curl ${url}/chat/completions `);
    const response = await fetch(`${url}/chat/completions`, { method: 'POST', body: /-d '(.*)'/.exec(curl!)![1]! });
    expect(response.status).toBe(418);
    child.kill(signal);
    expect(await ended).toBe(0);
    expect(said.out).toBe('');
  },
  30_000,
);

test('a port that is taken is one line and the exit code 2', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { said, ended } = simulate('--port', String(port));
  expect(await ended).toBe(2);
  expect(said.err).toBe(`Can't listen on 127.0.0.1:${port}: the port is taken.\n`);
  server.close();
}, 30_000);

const wrong: [options: string[], expected: string][] = [
  [['--port', '65536'], 'Expected a whole number from 0 to 65535'],
  [['--latency', 'long'], '--latency'],
  [['--fault', 'cutt'], '--fault: "cutt" is not a fault'],
  [['--fault', 'cut; after=x'], 'Expected for example "cut; after=3; rate=0.5"'],
  [['--fautl', 'cut'], '--fault'],
];

test.each(wrong)(
  'with %j it says what was expected and ends with 2',
  async (options, expected) => {
    const { said, ended } = simulate('--port', '0', ...options);
    expect(await ended).toBe(2);
    expect(said.err).toContain(expected);
    expect(said.err).not.toContain('    at ');
  },
  30_000,
);
