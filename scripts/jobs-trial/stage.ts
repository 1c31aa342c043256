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
import { givenPostgres, ownPostgres } from '../../test/support/postgres.ts';
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
  /** The same servers, and a database of its own. */
  readonly others: () => Promise<Services>;
  readonly processes: number;
  readonly jobs: number;
  readonly kills: number;
  /** How much faster than the clock on the wall, where a trial can choose. */
  readonly speed: number;
  /** One part of the trial alone. */
  readonly only: string | undefined;
}

/** What is under way, beside the figures. */
export function say(words: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${words}\n`);
}

/** Until it is so, looking every two seconds; for so long at the most. */
export async function until(isSo: () => Promise<boolean>, forMs: number): Promise<void> {
  for (const end = Date.now() + forMs; Date.now() < end && !(await isSo());) await wait(2000);
}

/** Where jobs are kept in a trial: given servers, or some of its own. */
export async function stores(given: { readonly database?: string; readonly redis?: string }) {
  const ends: (() => Promise<void>)[] = [];
  const kept = <T extends { end(): Promise<void> }>(server: T): T => {
    ends.push(() => server.end());
    return server;
  };
  const { database, redis } = given;
  // Clocks has a scheduler for each of its parts.
  const postgres = database === 'own' ? kept(await ownPostgres(150)) : database && kept(givenPostgres(database));
  const queue = redis === 'own' ? kept(await startRedis()).url : redis;
  return {
    /** A database that nobody else has. */
    services: async (): Promise<Services> => ({
      ...(postgres && { database: { url: await postgres.newDatabase() } }),
      ...(queue !== undefined && { redis: { url: queue } }),
    }),
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
  readonly latenessMs?: number;
  /** Whether a run was brought by the queue. */
  readonly isBrought?: boolean;
}

/** A scheduler in a process of its own, and what it logs. */
export interface Scheduler {
  readonly child: ChildProcess;
  readonly log: Spoken[];
  /** Resolves with the next event of that name. */
  heard(event: string): Promise<Spoken>;
  end(signal: NodeJS.Signals): Promise<void>;
}

export type StageConfig = Services & { readonly schedule: object } & Readonly<Record<string, unknown>>;

/** A configuration and a data folder that go with the trial. */
export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'mizan-trial-'));
  readonly options = ['--config', join(this.folder, 'mizan.yaml'), '--data', join(this.folder, 'data')];

  readonly #url: string | null;

  constructor(config: StageConfig) {
    this.#url = config.database?.url ?? null;
    this.configure(config);
  }

  /** For schedulers that are started from now on. */
  configure(config: StageConfig): void {
    const schedule = { driver: config.redis === undefined ? 'local' : 'bullmq', ...config.schedule };
    const all = { server: { port: 0, metricsPort: 0 }, ...config, schedule };
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
  const spoken = JSON.parse(line) as Partial<Spoken>;
  if (spoken.event === undefined) return null;
  return { ...spoken, event: spoken.event, time: new Date(spoken.time ?? 0).getTime() };
}
