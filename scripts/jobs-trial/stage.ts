import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { JobRun, StoredJob } from '../../src/core/jobs.ts';
import { everyTenant } from '../../src/core/request-record.ts';
import type { Store } from '../../src/store/index.ts';
import { openStore } from '../../src/store/index.ts';
import { ownPostgres } from '../../test/support/postgres.ts';
import { startRedis } from '../../test/support/redis.ts';

const bin = resolve(import.meta.dirname, '../../bin/mizan.js');

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };

/** The part of the configuration that says where jobs are kept. */
export interface Services {
  readonly database?: { readonly url: string };
  readonly redis?: { readonly url: string };
}

export interface TrialOptions {
  readonly services: Services;
  readonly processes: number;
  readonly jobs: number;
  /** One part of the trial alone. */
  readonly only: string | undefined;
}

/** Until it is so, looking every two seconds; for so long at the most. */
export async function until(isSo: () => Promise<boolean>, forMs: number): Promise<void> {
  for (const end = Date.now() + forMs; Date.now() < end && !(await isSo());) await wait(2000);
}

/** The databases of a trial: given ones, or some of its own. */
export async function stores(given: { readonly database?: string; readonly redis?: string }) {
  const ends: (() => Promise<void>)[] = [];
  const url = async (which: 'database' | 'redis', own: () => Promise<string>): Promise<object> => {
    const value = given[which];
    return value === undefined ? {} : { [which]: { url: value === 'own' ? await own() : value } };
  };
  const database = await url('database', async () => {
    const server = await ownPostgres();
    ends.push(() => server.end());
    return server.newDatabase();
  });
  const redis = await url('redis', async () => {
    const server = await startRedis();
    ends.push(() => server.end());
    return server.url;
  });
  const services: Services = { ...database, ...redis };
  return {
    services,
    async end() {
      for (const each of ends) await each();
    },
  };
}

/** The jobs that are there without being asked for, switched off. */
export const off = Object.fromEntries(
  ['cache-cleanup', 'backup', 'model-health', 'retention'].map((name) => [name, { enabled: false }]),
);

export interface Spoken {
  readonly event: string;
  readonly time: number;
  readonly run?: string;
}

/** A scheduler in a process of its own, and what it logs. */
export interface Scheduler {
  readonly child: ChildProcess;
  readonly log: Spoken[];
  /** Resolves with the next event of that name. */
  heard(event: string): Promise<Spoken>;
  end(signal: NodeJS.Signals): Promise<void>;
}

/** A configuration and a data folder that go with the trial. */
export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'mizan-trial-'));
  readonly options = ['--config', join(this.folder, 'mizan.yaml'), '--data', join(this.folder, 'data')];

  readonly #url: string | null;

  constructor(config: Services & Readonly<Record<string, unknown>>) {
    this.#url = config.database?.url ?? null;
    const all = { server: { port: 0, metricsPort: 0 }, ...config };
    writeFileSync(join(this.folder, 'mizan.yaml'), JSON.stringify(all));
  }

  /** @param env What is added to the environment. */
  async scheduler(env: Readonly<Record<string, string>> = {}): Promise<Scheduler> {
    const child = spawn(process.execPath, [bin, 'scheduler', ...this.options], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, LOG_LEVEL: 'debug', ...env },
    });
    const log: Spoken[] = [];
    const waiting = new Map<string, (spoken: Spoken) => void>();
    const { promise: ready, resolve: isReady, reject } = Promise.withResolvers<void>();
    let rest = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.includes('Mizan runs')) isReady();
        const spoken = spokenOf(line);
        if (spoken === null) continue;
        log.push(spoken);
        waiting.get(spoken.event)?.(spoken);
        waiting.delete(spoken.event);
      }
    });
    child.once('exit', (code) => reject(new Error(`The scheduler ended with ${code}.`)));
    await ready;
    return {
      child,
      log,
      heard: (event) => new Promise((heard) => waiting.set(event, heard)),
      async end(signal) {
        const ended = once(child, 'exit');
        child.kill(signal);
        await ended;
      },
    };
  }

  /** What a command prints. @throws Where it fails. */
  async mizan(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [bin, ...args, ...this.options], {
      maxBuffer: 2 ** 28,
    });
    return stdout;
  }

  /** All runs of these jobs, oldest first; the last thousand of each. */
  history(jobs: readonly string[]): Promise<JobRun[]> {
    return this.#asking(async (store) => {
      const runs = await Promise.all(jobs.map((job) => store.jobs.runs(everyTenant, { jobs: [job], limit: 1000 })));
      return runs.flatMap((each) => each.toReversed());
    });
  }

  /** The jobs there are. */
  jobs(): Promise<StoredJob[]> {
    return this.#asking((store) => store.jobs.jobs());
  }

  async #asking<T>(ask: (store: Store) => Promise<T>): Promise<T> {
    const store = await openStore({ folder: join(this.folder, 'data'), url: this.#url, events: silent });
    try {
      return await ask(store);
    } finally {
      await store.close();
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function spokenOf(line: string): Spoken | null {
  if (!line.startsWith('{')) return null;
  const { event, time, run } = JSON.parse(line) as Partial<Spoken>;
  if (event === undefined) return null;
  return { event, time: new Date(time ?? 0).getTime(), ...(run !== undefined && { run }) };
}
