import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Machine } from './machine.ts';
import { bin, startMachine } from './machine.ts';

/** Two processes of Mizan on one data folder. */
export class Machines {
  readonly urls: readonly string[];
  /** A member's, good for an hour. */
  readonly token: string;
  readonly #both: readonly Machine[];
  readonly #folder: string;

  private constructor(both: readonly Machine[], token: string, folder: string) {
    this.urls = both.map(({ url }) => url);
    this.token = token;
    this.#both = both;
    this.#folder = folder;
  }

  /** @param config As it would stand in `mizan.yaml`. */
  static async start(config: object): Promise<Machines> {
    const folder = mkdtempSync(join(tmpdir(), 'mizan-bench-'));
    const file = join(folder, 'mizan.yaml');
    const data = join(folder, 'data');
    writeFileSync(file, JSON.stringify(config));
    // The first makes the secrets that both use.
    const both = [await startMachine(file, data, 'gateway'), await startMachine(file, data, 'gateway')];
    const token = execFileSync(process.execPath, [bin, 'token', 'create', '--config', file, '--data', data]);
    return new Machines(both, token.toString().trim(), folder);
  }

  /** Of both together. */
  async sum(metric: string): Promise<number> {
    const each = await this.#read(metric);
    return each.reduce((sum, value) => sum + value, 0);
  }

  /** Resolves once both say so. */
  async until(metric: string, value: number): Promise<void> {
    while (!(await this.#read(metric)).every((each) => each === value)) await wait(10);
  }

  async end(): Promise<void> {
    await Promise.all(this.#both.map((machine) => machine.kill('SIGTERM')));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #read(metric: string): Promise<number[]> {
    return Promise.all(
      this.#both.map(async ({ metricsUrl }) => {
        const text = await (await fetch(metricsUrl)).text();
        return Number(new RegExp(`^${metric} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
      }),
    );
  }
}
