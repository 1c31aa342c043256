import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PostgresServer } from '../../../test/support/postgres.ts';
import { anyPostgres } from '../../../test/support/postgres.ts';
import type { JobRun, NamedJob } from '../../core/jobs.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Store } from '../index.ts';
import { openStore } from '../index.ts';
import { openDatabase } from '../sqlite/database.ts';
import { databaseFile } from '../sqlite/file.ts';

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const now = Date.UTC(2026, 0, 1);
const folders: string[] = [];
let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(async () => {
  await server.end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A store, and its database as somebody sees it who has no keys. */
interface Place {
  readonly store: Store;
  raw(statement: string): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

const places: Readonly<Record<string, () => Promise<Place>>> = {
  async SQLite() {
    const folder = newFolder();
    const store = await openStore({ folder, url: null, events: silent });
    const database = openDatabase(join(folder, databaseFile), { readOnly: false, busyTimeoutMs: 5000 });
    return {
      store,
      raw: async (statement) => database.prepare(statement).all(),
      async close() {
        database.close();
        await store.close();
      },
    };
  },
  async PostgreSQL() {
    const url = await server.newDatabase();
    const store = await openStore({ folder: newFolder(), url, events: silent });
    const pool = new Pool({ connectionString: url });
    return {
      store,
      raw: async (statement) => (await pool.query<Record<string, unknown>>(statement)).rows,
      async close() {
        await pool.end();
        await store.close();
      },
    };
  },
};

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-sealed-'));
  folders.push(folder);
  return folder;
}

const input = 'قل لي سرّ الشركة';
const settings = { agent: 'assistant', input };
const output = { request_id: 'req_1', output: 'السرّ هو ٤٢' };
let names = 0;

describe.each(Object.entries(places))('what tenants’ jobs are given and put out, on %s', (_name, open) => {
  let place: Place;
  let store: Store;

  beforeAll(async () => {
    place = await open();
    ({ store } = place);
  });

  afterAll(() => place.close());

  async function job(given: Partial<NamedJob> = {}): Promise<NamedJob> {
    const made: NamedJob = {
      name: `job-${++names}`,
      tenant: 'acme',
      type: 'agent',
      schedule: { kind: 'every', everyMs: 1000 },
      catchUp: 'once',
      catchUpWindowMs: 86_400_000,
      overlap: 'allow',
      jitterMs: 0,
      retries: 0,
      retryMs: 1000,
      timeoutMs: 60_000,
      settings,
      ...given,
    };
    await store.jobs.put(made, { source: 'config', by: 'test', now });
    return made;
  }

  /** A run of it that has ended. */
  async function ran({ name, tenant }: NamedJob): Promise<JobRun> {
    const id = `run_${name}_${++names}`;
    const due = now + names;
    const facts = {
      cause: 'manual',
      startedBy: 'test',
      availableAt: now,
      isExclusive: false,
      mayWait: 100,
      mostWaiting: 100,
    } as const;
    await store.jobs.create({ id, job: name, tenant, due, ...facts });
    const run = (await store.jobs.run(everyTenant, id))!;
    const claimed = (await store.jobs.claim(run, 'test', now))!;
    const end = { status: 'succeeded', at: now, output, error: null, availableAt: now } as const;
    expect(await store.jobs.end(claimed, end)).toBe(true);
    return (await store.jobs.run(everyTenant, id))!;
  }

  const given = async ({ name }: NamedJob) => (await store.jobs.settings([name])).get(name);
  const rowOf = async ({ name }: NamedJob) => (await place.raw(`select * from jobs where name = '${name}'`))[0]!;
  const rowOfRun = async ({ id }: JobRun) => (await place.raw(`select * from job_runs where id = '${id}'`))[0]!;
  const clearText = (row: object): string =>
    Object.values(row)
      .map((cell) => (cell instanceof Uint8Array ? Buffer.from(cell).toString() : String(cell)))
      .join(' ');

  test('lie sealed in the database, and open for whoever has the keys', async () => {
    const mine = await job();
    const run = await ran(mine);
    for (const row of [await rowOf(mine), await rowOfRun(run)]) {
      expect(row['sealed']).toBeInstanceOf(Uint8Array);
      for (const words of [input, output.output, 'assistant', 'req_1']) expect(clearText(row)).not.toContain(words);
    }
    expect(await given(mine)).toEqual(settings);
    expect(run).toMatchObject({ output, isReadable: true });
    expect(await store.jobs.runs('acme', { limit: 1, jobs: [mine.name] })).toMatchObject([{ output }]);
    const listed = await store.jobs.find([mine.name]);
    expect(listed).toMatchObject([{ isSealed: true, settings: {} }]);
  });

  test('of jobs that keep Mizan going are nobody’s secret', async () => {
    const mine = await job({ tenant: 'system', type: 'backup', settings: { keep: 8 } });
    const run = await ran(mine);
    expect(await rowOf(mine)).toMatchObject({ sealed: null });
    expect(await rowOfRun(run)).toMatchObject({ sealed: null, output: JSON.stringify(output) });
    expect(await store.jobs.find([mine.name])).toMatchObject([{ isSealed: false, settings: { keep: 8 } }]);
  });

  test('stay as they are where the job is as it was, and are sealed anew where it isn’t', async () => {
    const mine = await job();
    const before = await rowOf(mine);
    const put = (changed: object) => store.jobs.put({ ...mine, ...changed }, { source: 'config', by: 'test', now });
    expect(await put({})).toBe(false);
    expect(await rowOf(mine)).toEqual(before);
    expect(await put({ settings: { agent: 'assistant', input: 'Something else' } })).toBe(true);
    expect(await given(mine)).toEqual({ agent: 'assistant', input: 'Something else' });
    // Whose it is, is part of what opens it.
    expect(await put({ tenant: 'globex' })).toBe(true);
    expect(await given(mine)).toEqual(settings);
  });

  test('don’t open in another’s place', async () => {
    const [one, other] = [await job(), await job()];
    const [run, late] = [await ran(one), await ran(other)];
    const move = (table: string, id: string, from: string, to: string) =>
      place.raw(`update ${table} set sealed = (select sealed from ${table} where ${id} = '${from}')
        where ${id} = '${to}' returning 1 as one`);
    await move('jobs', 'name', one.name, other.name);
    await move('job_runs', 'id', run.id, late.id);
    expect(await given(other)).toBeNull();
    expect(await store.jobs.run(everyTenant, late.id)).toMatchObject({ output: null, isReadable: false });
    expect(await given(one)).toEqual(settings);
    await place.raw(`delete from jobs where name = '${other.name}' returning 1 as one`);
    await place.raw(`delete from job_runs where id = '${late.id}' returning 1 as one`);
  });

  test('are sealed anew after a rotation, and the old key goes when nothing is under it', async () => {
    const mine = await job();
    const run = await ran(mine);
    const { vault, sealedJobs } = store;
    const old = vault
      .keys()
      .find(({ tenant, purpose, state }) => tenant === 'acme' && purpose === 'job' && state === 'active');
    vault.renew({ purpose: 'job' });
    expect(vault.rotation.retiredFor('job')).toContain(old!.id);
    expect(await given(mine)).toEqual(settings);
    expect(await sealedJobs.count(old!.id)).toBeGreaterThanOrEqual(2);
    const { done, damaged } = await sealedJobs.upkeep(vault.rotation.retiredFor('job'));
    expect([done >= 2, damaged]).toEqual([true, []]);
    expect(await sealedJobs.count(old!.id)).toBe(0);
    expect(await given(mine)).toEqual(settings);
    expect(await store.jobs.run(everyTenant, run.id)).toMatchObject({ output, isReadable: true });
    // A second look finds nothing to do.
    expect(await sealedJobs.upkeep(vault.rotation.retiredFor('job'))).toEqual({ done: 0, damaged: [] });
  });

  test('from before there were seals are read as they are, and sealed behind it', async () => {
    const mine = await job();
    const run = await ran(mine);
    const spec = JSON.stringify({ ...(JSON.parse(String((await rowOf(mine))['spec'])) as object), settings });
    await place.raw(`update jobs set sealed = null, spec = '${spec}' where name = '${mine.name}' returning 1 as one`);
    await place.raw(`update job_runs set sealed = null, output = '${JSON.stringify(output)}'
      where id = '${run.id}' returning 1 as one`);
    const read = async () => [await given(mine), (await store.jobs.run(everyTenant, run.id))?.output];
    expect(await read()).toEqual([settings, output]);
    const { revision } = (await store.jobs.find([mine.name]))[0]!;
    expect((await store.sealedJobs.upkeep([])).done).toBeGreaterThanOrEqual(2);
    expect(await read()).toEqual([settings, output]);
    for (const row of [await rowOf(mine), await rowOfRun(run)]) {
      for (const words of [input, output.output]) expect(clearText(row)).not.toContain(words);
    }
    // For those who run jobs nothing has changed.
    expect((await store.jobs.find([mine.name]))[0]).toMatchObject({ revision, isSealed: true });
  });

  test('are gone for good with the tenant’s keys, and are said to be', async () => {
    const mine = await job({ tenant: 'initech' });
    const run = await ran(mine);
    store.vault.forgetTenant('initech');
    expect(await given(mine)).toBeNull();
    expect(await store.jobs.run(everyTenant, run.id)).toMatchObject({
      status: 'succeeded',
      output: null,
      isReadable: false,
    });
  });
});
