import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Agent, request } from 'undici';

const bin = join(import.meta.dirname, '../../bin/mizan.js');

export const say = (line: string): void => void process.stdout.write(`${line}\n`);
export const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
export const ascending = (list: readonly number[]): number[] => list.toSorted((a, b) => a - b);
export const median = (list: readonly number[]): number => at(ascending(list), 0.5);

/** What answers are measured beside. */
export interface Work {
  readonly go: () => void;
  /** Resolves once nothing more of it is under way. */
  readonly stop: () => Promise<void>;
  /** Where it can't be stopped in between, and rounds last as long as it does. */
  readonly isOver?: () => boolean;
  /** How many times as long as without it. */
  readonly times?: number;
  /** Where it comes to an end: there are no more rounds then. */
  readonly isDone?: () => boolean;
  /** What it is at, where it does one thing after another: rounds within one are told of by themselves, too. */
  readonly step?: () => string;
}

export interface Load {
  readonly rounds: number;
  readonly seconds: number;
  /** Requests per second. */
  readonly rate: number;
}

/** A Mizan that is asked at a steady rate. */
export class Asked {
  readonly process: ChildProcess;
  readonly base: string;
  readonly token: string;
  readonly dispatcher = new Agent({ connections: 64, bodyTimeout: 0, headersTimeout: 0 });
  readonly #load: Load;

  private constructor(
    { process, base, token }: { readonly process: ChildProcess; readonly base: string; readonly token: string },
    load: Load,
  ) {
    this.process = process;
    this.base = base;
    this.token = token;
    this.#load = load;
  }

  static async start(options: readonly string[], env: Readonly<Record<string, string>>, load: Load): Promise<Asked> {
    const mizan = spawn(process.execPath, [bin, 'start', ...options], { env, stdio: ['ignore', 'inherit', 'pipe'] });
    // Whatever ends this.
    process.once('exit', () => mizan.kill('SIGKILL'));
    let said = '';
    mizan.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    while (!/Bearer (\S+)"/.test(said)) await wait(50);
    const [, base = ''] = /listens on (\S+),/.exec(said) ?? [];
    const [, token = ''] = /Bearer (\S+)"/.exec(said) ?? [];
    return new Asked({ process: mizan, base, token }, load);
  }

  async get(
    path: string,
    authorization = `Bearer ${this.token}`,
  ): Promise<{ readonly ms: number; readonly json: unknown }> {
    const since = performance.now();
    const { body } = await request(`${this.base}${path}`, { dispatcher: this.dispatcher, headers: { authorization } });
    const json = await body.json();
    return { ms: performance.now() - since, json };
  }

  /** @returns How long the answer took, in ms. */
  async ask(): Promise<number> {
    const since = performance.now();
    const { body } = await request(`${this.base}/ai-process`, {
      dispatcher: this.dispatcher,
      method: 'POST',
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json' },
      body: '{"input":"Hi"}',
    });
    await body.dump();
    return performance.now() - since;
  }

  /** Rounds with and without `work` by turns; says what came of them. */
  async compare(what: string, work: Work): Promise<void> {
    const figures = { with: new Figures(), without: new Figures() };
    const steps = new Map<string, Pair[]>();
    const { rounds, seconds } = this.#load;
    let lasts = seconds * 1000;
    await this.#round((ms) => ms > lasts);
    let [done, ran] = [0, 0];
    for (; done < rounds && work.isDone?.() !== true; done++) {
      const pair: Pair = { with: [], without: [] };
      const step = work.step?.();
      // The order changes, so that neither always comes first.
      for (const kind of done % 2 === 0 ? (['with', 'without'] as const) : (['without', 'with'] as const)) {
        const before = this.#threads();
        if (kind === 'with') work.go();
        const begunAt = performance.now();
        const { isOver, times = 1 }: Partial<Work> = kind === 'with' ? work : {};
        const took = ascending(await this.#round((ms) => isOver?.() ?? ms > lasts * times));
        if (isOver !== undefined) lasts = performance.now() - begunAt;
        ran += performance.now() - begunAt;
        if (kind === 'with') await work.stop();
        figures[kind].add(took, before, this.#threads());
        pair[kind] = took;
      }
      if (step !== undefined && work.step?.() === step) steps.set(step, [...(steps.get(step) ?? []), pair]);
    }
    tell(`${what}, ${done} rounds of each`, figures, ran / 2);
    for (const [step, pairs] of steps) tellStep(step, pairs);
  }

  async end(): Promise<void> {
    this.process.kill('SIGTERM');
    await new Promise((resolve) => this.process.once('exit', resolve));
    await this.dispatcher.close();
  }

  /** Asks at the rate, however long answers take. */
  async #round(isOver: (ms: number) => boolean): Promise<number[]> {
    const asked: Promise<number>[] = [];
    for (const since = performance.now(); !isOver(performance.now() - since);) {
      while (asked.length < (this.#load.rate * (performance.now() - since)) / 1000) asked.push(this.ask());
      await wait(1);
    }
    return Promise.all(asked);
  }

  /** Processor time of each of Mizan's threads by now, in ms, by the thread's name; its main thread is `main`. */
  #threads(): Map<string, number> {
    const used = new Map<string, number>();
    if (process.platform !== 'linux') return used;
    const tasks = `/proc/${this.process.pid}/task`;
    for (const task of readdirSync(tasks)) {
      const stat = readFileSync(join(tasks, task, 'stat'), 'utf8');
      const isMain = task === String(this.process.pid);
      const name = isMain ? 'main' : stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      const [ns = '0'] = readFileSync(join(tasks, task, 'schedstat'), 'utf8').split(' ');
      used.set(name, (used.get(name) ?? 0) + Number(ns) / 1e6);
    }
    return used;
  }
}

/** How long the answers of two rounds side by side took, each ascending, in ms. */
interface Pair {
  with: readonly number[];
  without: readonly number[];
}

/** Of all rounds of one kind. */
class Figures {
  readonly p50: number[] = [];
  readonly p99: number[] = [];
  readonly all: number[] = [];
  readonly used = new Map<string, number>();

  add(took: readonly number[], before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
    this.p50.push(at(took, 0.5));
    this.p99.push(at(took, 0.99));
    this.all.push(...took);
    for (const [thread, ms] of after) {
      this.used.set(thread, (this.used.get(thread) ?? 0) + ms - (before.get(thread) ?? 0));
    }
  }
}

function tell(what: string, figures: Readonly<Record<'with' | 'without', Figures>>, ms: number): void {
  const { with: beside, without } = figures;
  const ratios = beside.p99.map((p99, i) => p99 / (without.p99[i] ?? 1));
  const compared = (a: number, b: number): string => `${a.toFixed(2)} against ${b.toFixed(2)} ms`;
  const [p99, alone] = [median(beside.p99), median(without.p99)];
  say(
    `${what}: p50 ${compared(median(beside.p50), median(without.p50))}, p99 ${compared(p99, alone)} (medians of rounds): ` +
      `${(p99 / alone).toFixed(2)}; of the ratios of rounds side by side the middle one is ${median(ratios).toFixed(2)}`,
  );
  const [all, allAlone] = [at(ascending(beside.all), 0.99), at(ascending(without.all), 0.99)];
  say(`  p99 of all ${beside.all.length} answers together ${compared(all, allAlone)}: ${(all / allAlone).toFixed(2)}`);
  say(`  ratios of p99, one round after the other: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}`);
  const shares = [...beside.used].map(([thread, used]) => {
    const share = (of: number): string => ((of / ms) * 100).toFixed(1);
    return `${thread} ${share(used)} against ${share(without.used.get(thread) ?? 0)} %`;
  });
  say(`  of a processor: ${shares.filter((words) => !/ 0\.\d against 0\.\d %/.test(words)).join(', ')}`);
}

function tellStep(step: string, pairs: readonly Pair[]): void {
  const ratios = pairs.map((pair) => at(pair.with, 0.99) / at(pair.without, 0.99));
  const of = (kind: keyof Pair): readonly [number, number] => [
    median(pairs.map((pair) => at(pair[kind], 0.99))),
    at(ascending(pairs.flatMap((pair) => pair[kind])), 0.99),
  ];
  const [[p99, all], [alone, allAlone]] = [of('with'), of('without')];
  say(
    `  ${step}, ${pairs.length} rounds: p99 ${p99.toFixed(2)} against ${alone.toFixed(2)} ms (${(p99 / alone).toFixed(2)}), ` +
      `side by side ${median(ratios).toFixed(2)}, together ${(all / allAlone).toFixed(2)}`,
  );
}
