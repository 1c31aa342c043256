import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { bornAt, family } from './procfs.ts';

/** How to start a gateway. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where its stdout and stderr go. */
  readonly logFile: string;
}

/** A gateway that was started by the bench, with whatever it started itself. */
export class Gateway {
  readonly #process: ChildProcess;
  readonly #logFile: string;
  readonly #exited: Promise<void>;
  #exit: string | null = null;

  constructor(launch: Launch) {
    this.#logFile = launch.logFile;
    const log = openSync(launch.logFile, 'a');
    this.#process = spawn(launch.command, launch.args, {
      cwd: launch.cwd,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...launch.env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#exited = new Promise((resolve) => {
      this.#process.on('error', (error) => {
        this.#exit = error.message;
        resolve();
      });
      this.#process.on('exit', (code, signal) => {
        this.#exit ??= `it ended by itself (${signal ?? `exit code ${code}`})`;
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Why it runs no longer; `null` while it does. */
  get exit(): string | null {
    return this.#exit;
  }

  /** The last lines it wrote. */
  logTail(lines = 12): string {
    return readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Asks it to end and, if it hasn't within five seconds, ends it and its children. */
  async stop(): Promise<void> {
    if (this.#exit !== null) return;
    const started = family(this.pid).map((pid) => ({ pid, born: bornAt(pid) }));
    this.#process.kill('SIGTERM');
    const patience = new AbortController();
    await Promise.race([this.#exited, sleep(5000, undefined, { signal: patience.signal })]);
    patience.abort();
    for (const { pid, born } of started) if (bornAt(pid) === born) kill(pid);
    await this.#exited;
  }

  /** Ends it and its children at once. */
  kill(): void {
    if (this.#exit === null) for (const pid of family(this.pid)) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was gone already.
  }
}
