import type { ChildProcessByStdio } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { onTestFinished } from 'vitest';

/** Another Node process, which is told lines and says lines. */
export class OtherProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /** @param code An ES module. It reads with `await told()`, and says with `say(text)`. */
  constructor(code: string) {
    const prelude = `
      import { createInterface } from 'node:readline';
      const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
      const told = async () => (await lines.next()).value;
      const say = (text) => console.log(text);
    `;
    this.#child = spawn(process.execPath, ['--input-type=module', '-e', `${prelude}${code}\nprocess.exit();`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    onTestFinished(() => void this.#child.kill('SIGKILL'));
  }

  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** The next line it says. */
  async said(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('The other process ended without a word.');
    return value;
  }
}
