import { fork } from 'node:child_process';
import type { ChildProcess, Serializable } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Enough to tell the few messages between the parts of the bench apart. */
export function hasMember(message: unknown, member: string): boolean {
  return typeof message === 'object' && message !== null && member in message;
}

/** A part of the bench in a process of its own, so that its work is not counted as anybody else's. */
export class Child {
  readonly #process: ChildProcess;

  constructor(file: URL) {
    this.#process = fork(fileURLToPath(file), { serialization: 'advanced', execArgv: [] });
  }

  /**
   * The next message from the child that is one of those expected.
   * @throws Error if the child dies first, or none comes within `timeoutMs`.
   */
  receive<T>(isExpected: (message: unknown) => message is T, timeoutMs: number): Promise<T> {
    const child = this.#process;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit);
        act();
      };
      const onMessage = (message: unknown): void => {
        if (isExpected(message)) settle(() => resolve(message));
      };
      const onExit = (code: number | null): void =>
        settle(() => reject(new Error(`A part of the bench died (${code}).`)));
      const timer = setTimeout(() => settle(() => reject(new Error(`No word within ${timeoutMs} ms.`))), timeoutMs);
      child.on('message', onMessage).on('exit', onExit);
    });
  }

  ask<T>(message: Serializable, isExpected: (message: unknown) => message is T, timeoutMs: number): Promise<T> {
    const answer = this.receive(isExpected, timeoutMs);
    this.#process.send(message);
    return answer;
  }

  stop(): void {
    this.#process.kill('SIGKILL');
  }
}
