import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { freePort } from './free-port.ts';
import { installed, isExecutable, pathFolders } from './installed.ts';

/** A PostgreSQL server with databases for tests. */
export interface PostgresServer {
  /** The URL of a database that is new and empty. */
  newDatabase(): Promise<string>;
  end(): Promise<void>;
}

/** One that was started here, and can be stopped and started again. */
export interface OwnPostgresServer extends PostgresServer {
  /** At once, as a crash would: connections break. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

let databases = 0;

/** The server of `DATABASE_URL`, else one that is started for the tests. */
export async function anyPostgres(): Promise<PostgresServer> {
  const given = process.env['DATABASE_URL'] ?? '';
  return given === '' ? ownPostgres() : givenPostgres(given);
}

/** The server at this URL. Databases that were made there are gone at the end. */
export function givenPostgres(given: string): PostgresServer {
  const made: string[] = [];
  return {
    async newDatabase() {
      const url = await createDatabase(given);
      made.push(new URL(url).pathname.slice(1));
      return url;
    },
    async end() {
      for (const name of made) await query(given, `DROP DATABASE "${name}" WITH (FORCE)`);
    },
  };
}

async function createDatabase(server: string): Promise<string> {
  const name = `mizan_test_${process.pid}_${Date.now()}_${++databases}`;
  await query(server, `CREATE DATABASE "${name}"`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function query(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/**
 * Starts a server of the test's own, on a free port of this machine and in a folder that goes with it.
 * @param connections At most; a Mizan has up to eight.
 */
export async function ownPostgres(connections = 40): Promise<OwnPostgresServer> {
  const binaries = findBinaries() ?? installed('postgresql', missing, findBinaries);
  const user = unprivileged();
  const folder = mkdtempSync(join(tmpdir(), 'mizan-postgres-'));
  if (user !== null) chownSync(folder, user.uid, user.gid);
  chmodSync(folder, 0o700);
  const run = { cwd: folder, env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' }, ...user };
  execFileSync(
    join(binaries, 'initdb'),
    ['-D', join(folder, 'data'), '-U', 'mizan', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'],
    { ...run, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const port = await freePort();
  let child: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    const most = `max_connections=${connections}`;
    const settings = ['fsync=off', 'synchronous_commit=off', most, 'shared_buffers=32MB'];
    child = spawn(
      join(binaries, 'postgres'),
      ['-D', join(folder, 'data'), '-h', '127.0.0.1', '-p', String(port), '-k', folder].concat(
        settings.flatMap((setting) => ['-c', setting]),
      ),
      { ...run, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    await readiness(child);
  };
  const stop = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null) return;
    const ended = once(running, 'exit');
    // "Immediate": without a word to anybody.
    running.kill('SIGQUIT');
    await ended;
  };
  await start();
  const url = `postgres://mizan@127.0.0.1:${port}/postgres`;
  return {
    newDatabase: () => createDatabase(url),
    start,
    stop,
    async end() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function readiness(child: ChildProcess): Promise<void> {
  let said = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-10_000);
    if (said.includes('ready to accept connections')) resolve();
  });
  child.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${said}`)));
  await promise;
}

function findBinaries(): string | null {
  const debian = globSync('/usr/lib/postgresql/*/bin').toSorted().toReversed();
  const hasBoth = (folder: string): boolean =>
    ['initdb', 'postgres'].every((program) => isExecutable(join(folder, program)));
  return [...pathFolders, ...debian].find(hasBoth) ?? null;
}

const missing =
  'These tests need a PostgreSQL server: set DATABASE_URL, or install one (initdb and postgres on the path, or below /usr/lib/postgresql).';

/** PostgreSQL does not run as root. */
function unprivileged(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: idOf('-u'), gid: idOf('-g') };
}
