import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contestant } from './contestants/contestant.ts';
import { Load } from './load/load.ts';
import { Row } from './row.ts';
import { Upstream } from './upstream/upstream.ts';

/** A line for whoever waits; the results alone go to stdout. */
export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

/** The upstream, the load and the contestants: everything that has to end, whichever way the bench itself ends. */
export class Stage implements Disposable {
  readonly upstream: Upstream;
  readonly load = new Load();
  readonly rows: Row[] = [];
  readonly #dir = mkdtempSync(join(tmpdir(), 'mizan-bench-'));

  private constructor(upstream: Upstream) {
    this.upstream = upstream;
    const interrupted = (): never => {
      this[Symbol.dispose]();
      return process.exit(130);
    };
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  }

  static async setUp(): Promise<Stage> {
    return new Stage(await Upstream.start());
  }

  /** Starts a contestant `starts` times and leaves it running, or notes in its row why it can't be. */
  async open(contestant: Contestant, starts: number): Promise<Row> {
    const row = new Row(contestant.name);
    this.rows.push(row);
    say(`starting ${row.name}`);
    const dir = join(this.#dir, row.name);
    mkdirSync(dir);
    await row.open(contestant, { dir, upstreamPort: this.upstream.port }, starts);
    if (row.unavailable !== null) say(`${row.name} does not take part: ${row.unavailable}`);
    return row;
  }

  [Symbol.dispose](): void {
    for (const row of this.rows) row.running?.gateway?.kill();
    this.load.stop();
    this.upstream.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
