import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { afterAll } from 'vitest';

const bin = resolve(import.meta.dirname, '../../bin/mizan.js');

const running = new Set<ChildProcess>();

// What a test left behind that failed half-way.
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
});

/** How a command ended. */
export interface Ended {
  /** `null` where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export interface Launched {
  readonly pid: number;
  /** Resolves when it is over and everything it said has been read. */
  readonly ended: Promise<Ended>;
  /** The first match of `pattern` in what it says on stderr, or will say. Rejects if it ends without. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** Harmless when it is over. */
  signal(signal: NodeJS.Signals): void;
}

export interface LaunchOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What it reads on stdin; nothing at all where it is left out. */
  readonly input?: string | Buffer;
}

/** Runs `mizan …` as a process of its own; nothing of this environment but the path reaches it. */
export function launch(args: readonly string[], options: LaunchOptions = {}): Launched {
  const env = { PATH: process.env['PATH'] ?? '', ...options.env };
  const child = spawn(process.execPath, [bin, ...args], {
    env,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  // A command may end without having read it.
  child.stdin?.on('error', () => {}).end(options.input);
  running.add(child);
  const output = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = endOf(child, output);
  return {
    pid: child.pid ?? 0,
    ended,
    said(pattern) {
      const heard = new Promise<RegExpExecArray>((resolveHeard) => {
        const listen = (): void => {
          const match = pattern.exec(output.stderr);
          if (match === null) return;
          listeners.delete(listen);
          resolveHeard(match);
        };
        listeners.add(listen);
        listen();
      });
      const silent = ended.then(({ code, stderr }) => {
        throw new Error(`mizan ${args.join(' ')} ended with ${code} and never said ${String(pattern)}:\n${stderr}`);
      });
      return Promise.race([heard, silent]);
    },
    signal: (signal) => void child.kill(signal),
  };
}

/** Runs a command to its end. */
export async function mizan(args: readonly string[], options: LaunchOptions = {}): Promise<Ended> {
  return launch(args, options).ended;
}

async function endOf(child: ChildProcess, output: { stdout: string; stderr: string }): Promise<Ended> {
  const [code] = (await once(child, 'close')) as [number | null];
  running.delete(child);
  return { code, ...output };
}

/** The lines of JSON that Mizan logged, of `level` (pino's numbers: 50 is error) or above. */
export function logged(stderr: string, level: number): Record<string, unknown>[] {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => Number(line['level']) >= level);
}
