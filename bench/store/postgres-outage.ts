/**
 * PostgreSQL stopped for a minute under load: no row is lost or doubled, and memory comes back. A second Mizan beside,
 * whose PostgreSQL stays, has the same load: what both grow by is not the outage's. Needs PostgreSQL's binaries.
 *
 *   node bench/store/postgres-outage.ts [--seconds 60] [--rate 50] [--before 60] [--watch 180]
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import type { OwnPostgresServer } from '../../test/support/postgres.ts';
import { ownPostgres } from '../../test/support/postgres.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { seconds: text, rate: text, before: text, watch: text } });
const seconds = Number(values.seconds ?? 60);
const rate = Number(values.rate ?? 50);
const before = Number(values.before ?? 60);
const watched = Number(values.watch ?? 180);

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** A Mizan with a PostgreSQL of its own, under load. */
class House {
  readonly server: OwnPostgresServer;
  readonly url: string;
  readonly answered: string[] = [];
  failed = 0;
  slowest = 0;
  #isOver = false;
  #loading: Promise<void> = Promise.resolve();
  readonly #folder = mkdtempSync(join(tmpdir(), 'mizan-outage-'));
  readonly #mizan: ChildProcess;
  #said = '';

  private constructor(server: OwnPostgresServer, url: string) {
    this.server = server;
    this.url = url;
    this.#mizan = spawn(
      process.execPath,
      [bin, 'start', '--data', this.#folder, '--port', '0', '--metrics-port', '0'],
      {
        env: { PATH: process.env['PATH'] ?? '', DATABASE_URL: url, LOG_LEVEL: 'warn' },
        cwd: this.#folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    this.#mizan.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      this.#said += piece;
    });
  }

  static async open(): Promise<House> {
    const server = await ownPostgres();
    const house = new House(server, await server.newDatabase());
    while (house.#match(/Bearer (\S+)"/) === '') await wait(50);
    return house;
  }

  #match(pattern: RegExp): string {
    return pattern.exec(this.#said)?.[1] ?? '';
  }

  get #base(): string {
    return this.#match(/listens on (\S+),/);
  }

  load(): void {
    this.#loading = this.#load();
  }

  async rest(): Promise<void> {
    this.#isOver = true;
    await this.#loading;
  }

  async #load(): Promise<void> {
    const under: Promise<void>[] = [];
    for (const startedAt = performance.now(); !this.#isOver;) {
      if (under.length < (rate * (performance.now() - startedAt)) / 1000) {
        under.push(this.#ask().catch(() => void this.failed++));
      } else await wait(2);
    }
    await Promise.all(under);
  }

  async #ask(): Promise<void> {
    const startedAt = performance.now();
    const answer = await fetch(`${this.#base}/ai-process`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#match(/Bearer (\S+)"/)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'Say hello' }),
    });
    const { id } = (await answer.json()) as { readonly id?: string };
    if (answer.status === 200 && id !== undefined) this.answered.push(id);
    else this.failed++;
    this.slowest = Math.max(this.slowest, performance.now() - startedAt);
  }

  resident(): number {
    const status = readFileSync(`/proc/${this.#mizan.pid ?? 0}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  async pending(): Promise<number> {
    return (await this.#figures(['mizan_rows_pending']))[0] ?? Number.NaN;
  }

  /** What of it is the main thread's heap, in use and held, and what lies outside. */
  async heap(): Promise<string> {
    const names = ['nodejs_heap_size_used_bytes', 'nodejs_heap_size_total_bytes', 'nodejs_external_memory_bytes'];
    const [used = 0, total = 0, external = 0] = (await this.#figures(names)).map((bytes) => bytes / 2 ** 20);
    return `heap ${used.toFixed(0)} of ${total.toFixed(0)}, external ${external.toFixed(0)} MiB`;
  }

  async #figures(names: readonly string[]): Promise<number[]> {
    const exposed = await (await fetch(this.#match(/metrics on (\S+)/))).text();
    return names.map((name) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(exposed)?.[1]));
  }

  async state(): Promise<string> {
    return (await fetch(`${this.#base}/readyz`)).text();
  }

  /** How many answers aren't in the log, and how many are twice. */
  async missing(): Promise<{ readonly lost: number; readonly doubled: number }> {
    const client = new Client({ connectionString: this.url });
    await client.connect();
    const { rows } = await client.query('SELECT id, count(*) AS n FROM requests GROUP BY id');
    await client.end();
    const counts = new Map((rows as { id: string; n: string }[]).map(({ id, n }) => [id, Number(n)]));
    return {
      lost: this.answered.filter((id) => !counts.has(id)).length,
      doubled: [...counts.values()].filter((n) => n !== 1).length,
    };
  }

  async end(): Promise<void> {
    this.#mizan.kill('SIGTERM');
    await new Promise((resolve) => this.#mizan.once('exit', resolve));
    await this.server.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const [house, other] = [await House.open(), await House.open()];
const highest = { house: 0, other: 0 };

/** For so many seconds, with a line every ten. */
async function watch(phase: string, howLong: number): Promise<void> {
  for (let i = 1; i <= howLong; i++) {
    await wait(1000);
    highest.house = Math.max(highest.house, house.resident());
    highest.other = Math.max(highest.other, other.resident());
    if (i % 10 !== 0 && i !== howLong) continue;
    const [here, there] = [house.resident(), other.resident()];
    say(`${phase} ${String(i).padStart(4)} s: ${here.toFixed(0)} MiB, the other ${there.toFixed(0)} MiB`);
  }
}

house.load();
other.load();
await watch('before', before);
const start = { house: house.resident(), other: other.resident() };
say(`before: ${await house.heap()}; the other: ${await other.heap()}`);
Object.assign(highest, start);
await house.server.stop();
await watch('away', seconds);
say(`away for ${seconds} s: ${await house.pending()} rows pending, ${await house.heap()}, ${await house.state()}`);
await house.server.start();
const backAt = performance.now();
while ((await house.state()) !== '{"status":"ready"}') await wait(100);
say(`ready again after ${((performance.now() - backAt) / 1000).toFixed(1)} s`);
await watch('back', watched);
say(`back: ${await house.heap()}; the other: ${await other.heap()}`);
const end = { house: house.resident(), other: other.resident() };
await Promise.all([house.rest(), other.rest()]);
while ((await house.pending()) > 0 || (await other.pending()) > 0) await wait(100);
await watch('at rest', 30);

const grown = (from: number, to: number): string => `${to >= from ? '+' : ''}${(to - from).toFixed(0)}`;
say(
  `MiB: ${start.house.toFixed(0)} before, ${grown(start.house, highest.house)} at most, ${grown(start.house, end.house)} in the end; ` +
    `the other: ${start.other.toFixed(0)} before, ${grown(start.other, highest.other)} at most, ${grown(start.other, end.other)} in the end`,
);
let isRight = true;
for (const which of [house, other]) {
  const { answered, failed, slowest } = which;
  const { lost, doubled } = await which.missing();
  say(
    `${which === house ? 'it' : 'the other'}: ${answered.length} answered, ${failed} failed, ${lost} lost, ${doubled} doubled, slowest ${slowest.toFixed(0)} ms`,
  );
  isRight &&= lost + doubled + failed === 0;
}
await Promise.all([house.end(), other.end()]);
process.exitCode = isRight ? 0 : 1;
