import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { installed, onPath } from './installed.ts';

/** A Redis server of the test's own, on a free port of this machine, without anything on disk. */
export interface RedisServer {
  readonly url: string;
  /** At once, as a crash would: what was kept is gone. */
  stop(): Promise<void>;
  /** On the same port, and empty. */
  start(): Promise<void>;
  /** It stays connected and says nothing, until {@link resume}. */
  stall(): void;
  resume(): void;
  end(): Promise<void>;
}

const missing = 'These tests need a Redis server: put redis-server on the path.';

/** @param settings Lines of its configuration, as `--maxmemory`, `4mb`. */
export async function startRedis(...settings: string[]): Promise<RedisServer> {
  const binary = onPath('redis-server') ?? installed('redis-server', missing, () => onPath('redis-server'));
  const folder = mkdtempSync(join(tmpdir(), 'mizan-redis-'));
  const port = await freePort();
  let child: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    child = spawn(
      binary,
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, ...settings],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await readiness(child);
  };
  const stop = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null) return;
    const ended = once(running, 'exit');
    running.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    stop,
    stall: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async end() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function readiness(child: ChildProcess): Promise<void> {
  let said = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-10_000);
    if (said.includes('Ready to accept connections')) resolve();
  });
  child.once('exit', (code) => reject(new Error(`Redis ended with ${code}:\n${said}`)));
  await promise;
}
