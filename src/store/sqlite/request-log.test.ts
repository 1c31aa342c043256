import type { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { OtherProcess } from '../../../test/support/processes.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import type { RequestRecord } from '../../core/request-record.ts';
import type { RequestLogEvents } from './request-log.ts';
import { SqliteRequestLog } from './request-log.ts';

interface Stage {
  readonly file: string;
  readonly database: DatabaseSync;
  readonly log: SqliteRequestLog;
  /** What the log told of itself, in order. */
  readonly told: string[];
  readonly recovered: Promise<void>;
  /** The ids that another connection sees. */
  seen(): string[];
}

async function stage(): Promise<Stage> {
  const file = join(temporaryFolder(), 'x.db');
  const database = openDatabase(file, { readOnly: false, busyTimeoutMs: 50 });
  await migrate(database);
  const other = openDatabase(file, { readOnly: true, busyTimeoutMs: 1000 });
  const told: string[] = [];
  const { promise: recovered, resolve } = Promise.withResolvers<void>();
  const events: RequestLogEvents = {
    failed: () => told.push('failed'),
    recovered() {
      told.push('recovered');
      resolve();
    },
    dropped: ({ id }) => told.push(`dropped ${id}`),
  };
  onTestFinished(() => {
    other.close();
    database.close();
  });
  const seen = (): string[] =>
    other
      .prepare('SELECT id FROM requests ORDER BY id')
      .all()
      .map(({ id }) => String(id));
  return { file, database, log: new SqliteRequestLog(database, events), told, recovered, seen };
}

const record = (id: string) => requestRecord({ id });

/** Another process holds the write lock until it is told to let go. */
async function lockedBy(file: string): Promise<OtherProcess> {
  const other = new OtherProcess(`
    import { DatabaseSync } from 'node:sqlite';
    const database = new DatabaseSync(${JSON.stringify(file)});
    database.exec('BEGIN IMMEDIATE');
    say('locked');
    await told();
    database.exec('COMMIT');
    say('released');
  `);
  expect(await other.said()).toBe('locked');
  return other;
}

describe('a record', () => {
  test('is there for everyone by the time its append resolves', async () => {
    const { log, seen, told } = await stage();
    await log.append(record('req_1'));
    expect(seen()).toStrictEqual(['req_1']);
    expect(told).toStrictEqual([]);
    expect(log.pending).toBe(0);
    expect(log.committed).toBe(1);
  });

  test('is pending until then', async () => {
    const { log, seen } = await stage();
    const appended = log.append(record('req_1'));
    expect(log.pending).toBe(1);
    expect(seen()).toStrictEqual([]);
    await appended;
    expect(log.pending).toBe(0);
  });

  test('shares its transaction with all that came in the same turn', async () => {
    const { log, seen, database } = await stage();
    const exec = vi.spyOn(database, 'exec');
    const [first, ...others] = Array.from({ length: 50 }, (_, i) =>
      log.append(record(`req_${String(i).padStart(2, '0')}`)),
    );
    await first;
    expect(seen()).toHaveLength(50);
    await Promise.all(others);
    const statements = exec.mock.calls.flat().filter((sql) => !sql.startsWith('PRAGMA'));
    expect(statements).toStrictEqual(['BEGIN IMMEDIATE', 'COMMIT']);
  });

  test('that comes in a later turn has a transaction of its own', async () => {
    const { log, database } = await stage();
    const exec = vi.spyOn(database, 'exec');
    await log.append(record('req_1'));
    await log.append(record('req_2'));
    expect(exec.mock.calls.flat().filter((sql) => sql === 'COMMIT')).toHaveLength(2);
  });

  test('that is appended twice is there once, as it was first', async () => {
    const { log, seen, database } = await stage();
    await log.append(record('req_1'));
    await Promise.all([log.append({ ...record('req_1'), status: 500 }), log.append(record('req_2'))]);
    expect(seen()).toStrictEqual(['req_1', 'req_2']);
    expect(database.prepare("SELECT status FROM requests WHERE id = 'req_1'").get()).toMatchObject({ status: 200 });
  });

  test('survives the process being killed the moment its append has resolved', async () => {
    const { file, seen } = await stage();
    const modules = JSON.stringify(new URL('.', import.meta.url).href);
    const other = new OtherProcess(`
      const { openDatabase } = await import(new URL('database.ts', ${modules}));
      const { SqliteRequestLog } = await import(new URL('request-log.ts', ${modules}));
      const database = openDatabase(${JSON.stringify(file)}, { readOnly: false, busyTimeoutMs: 1000 });
      const log = new SqliteRequestLog(database, { failed() {}, recovered() {}, dropped() {} });
      await log.append(JSON.parse(${JSON.stringify(JSON.stringify(record('req_killed')))}));
      say('appended');
      process.kill(process.pid, 'SIGKILL');
    `);
    expect(await other.said()).toBe('appended');
    expect(seen()).toStrictEqual(['req_killed']);
  });
});

describe('a record that the table can’t hold', () => {
  test('is given up alone: those before and after it are there', async () => {
    const { log, seen, told } = await stage();
    const broken = { ...record('req_2'), tenant: null } as unknown as RequestRecord;
    const unbindable = { ...record('req_3'), time: {} } as unknown as RequestRecord;
    await Promise.all([record('req_1'), broken, unbindable, record('req_4')].map((each) => log.append(each)));
    expect(seen()).toStrictEqual(['req_1', 'req_4']);
    expect(told).toStrictEqual(['dropped req_2', 'dropped req_3']);
    await log.append(record('req_5'));
    expect(seen()).toContain('req_5');
  });
});

describe('a database that another process has locked', () => {
  test('does not hold up the event loop', async () => {
    const { file, log } = await stage();
    const other = await lockedBy(file);
    const appended = log.append(record('req_1'));
    const took = Array.from({ length: 5 }, () => {
      const startedAt = performance.now();
      expect(() => log.flush()).toThrow(/locked/);
      return performance.now() - startedAt;
    });
    other.tell('go');
    await appended;
    // Whoever waits for the lock, waits for 50 ms.
    expect(Math.min(...took)).toBeLessThan(40);
  });

  test('holds an answer up for a second at most, and the row comes later', async () => {
    const { file, log, seen, told, recovered } = await stage();
    const other = await lockedBy(file);
    const startedAt = performance.now();
    await log.append(record('req_1'));
    const waited = performance.now() - startedAt;
    expect(waited).toBeGreaterThan(900);
    expect(waited).toBeLessThan(2000);
    expect(seen()).toStrictEqual([]);
    expect(log.pending).toBe(1);
    expect(told).toStrictEqual(['failed']);
    other.tell('go');
    await recovered;
    expect(seen()).toStrictEqual(['req_1']);
    expect(log.pending).toBe(0);
    expect(told).toStrictEqual(['failed', 'recovered']);
  });

  test('for less than that holds it up for so long, and the row is there', async () => {
    const { file, log, seen, told } = await stage();
    const other = await lockedBy(file);
    const appended = log.append(record('req_1'));
    await new Promise((resolve) => setImmediate(resolve));
    const later = log.append(record('req_2'));
    other.tell('go');
    await Promise.all([appended, later]);
    expect(seen()).toStrictEqual(['req_1', 'req_2']);
    expect(told).toStrictEqual([]);
  });

  test('costs the oldest rows where too many wait, and says so', async () => {
    const { file, log, seen, told } = await stage();
    const other = await lockedBy(file);
    const name = (i: number): string => `req_${String(i).padStart(5, '0')}`;
    const oldest = log.append(record(name(0)));
    for (let i = 1; i < 10_001; i++) void log.append(record(name(i)));
    const newest = log.append(record(name(10_001)));
    await oldest;
    expect(log.pending).toBe(10_000);
    expect(told).toStrictEqual([`dropped ${name(0)}`, `dropped ${name(1)}`]);
    await new Promise((resolve) => setImmediate(resolve));
    other.tell('go');
    await newest;
    expect(seen()).toHaveLength(10_000);
    expect(seen()[0]).toBe(name(2));
  });
});
