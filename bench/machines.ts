import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const bin = resolve(import.meta.dirname, '../bin/mizan.js');

/** Two processes of Mizan on one data folder. */
export class Machines {
  readonly urls: readonly string[];
  /** A member's, good for an hour. */
  readonly token: string;
  readonly #metrics: readonly string[];
  readonly #children: readonly ChildProcess[];
  readonly #folder: string;

  private constructor(known: {
    readonly said: readonly RegExpExecArray[];
    readonly token: string;
    readonly children: readonly ChildProcess[];
    readonly folder: string;
  }) {
    this.urls = known.said.map(([, url = '']) => url);
    this.#metrics = known.said.map(([, , url = '']) => url);
    this.token = known.token;
    this.#children = known.children;
    this.#folder = known.folder;
  }

  /** @param config As it would stand in `mizan.yaml`. */
  static async start(config: object): Promise<Machines> {
    const folder = mkdtempSync(join(tmpdir(), 'mizan-bench-'));
    const file = join(folder, 'mizan.yaml');
    writeFileSync(file, JSON.stringify(config));
    const where = ['--config', file, '--data', join(folder, 'data')];
    const children: ChildProcess[] = [];
    const said: RegExpExecArray[] = [];
    for (let i = 0; i < 2; i++) {
      const args = ['start', '--role', 'gateway', ...where, '--port', '0', '--metrics-port', '0'];
      const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      children.push(child);
      said.push(await listening(child));
    }
    const token = execFileSync(process.execPath, [bin, 'token', 'create', ...where])
      .toString()
      .trim();
    return new Machines({ said, token, children, folder });
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
    for (const child of this.#children) {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #read(metric: string): Promise<number[]> {
    return Promise.all(
      this.#metrics.map(async (url) => {
        const text = await (await fetch(`${url}/metrics`)).text();
        return Number(new RegExp(`^${metric} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
      }),
    );
  }
}

async function listening(child: ChildProcess): Promise<RegExpExecArray> {
  let said = '';
  const { promise, resolve: listens } = Promise.withResolvers<RegExpExecArray>();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const found = /listens on (\S+), with metrics on (\S+)\/metrics/.exec(said);
    if (found !== null) listens(found);
  });
  return promise;
}
