import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { requestRecord } from '../../../test/support/records.ts';
import type { PostgresServer } from '../../../test/support/postgres.ts';
import { anyPostgres } from '../../../test/support/postgres.ts';
import { newRequestId } from '../../core/ids.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Store } from '../../store/index.ts';
import { openStore } from '../../store/index.ts';
import type { JobEvents } from '../contract.ts';
import { Engine } from '../engine.ts';
import { retention } from './retention.ts';

const silent = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };
const noEvents: JobEvents = {
  started() {},
  ended() {},
  skipped() {},
  missed() {},
  unreadable() {},
  takenOver() {},
  lost() {},
  storeFailed() {},
  storeRecovered() {},
};
const dayMs = 86_400_000;
const due = 1_000_000_000_000;
let server: PostgresServer;
const folder = mkdtempSync(join(tmpdir(), 'mizan-retention-'));

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(async () => {
  await server.end();
  rmSync(folder, { recursive: true, force: true });
});

const places: Readonly<Record<string, () => Promise<Store>>> = {
  SQLite: () => openStore({ folder: join(folder, 'sqlite'), url: null, events: silent }),
  PostgreSQL: async () => openStore({ folder: join(folder, 'pg'), url: await server.newDatabase(), events: silent }),
};

/** Long enough ago for sums and rows to go: some thousand requests of many tenants, each with a budget's row. */
async function fill(store: Store): Promise<void> {
  const time = Date.now() - 100 * dayMs;
  for (let some = 0; some < 4; some++) {
    const records = Array.from({ length: 1000 }, (_, i) =>
      requestRecord({
        id: newRequestId(time + some * 1000 + i),
        time: time + some * 1000 + i,
        tenant: `tenant-${i % 20}`,
        charges: [{ seq: 0, model: 'fast', cost: 1, budgets: [['budgets/all', 0]] }],
      }),
    );
    await Promise.all(records.map((record) => store.requestLog.append(record)));
  }
  await store.settled();
}

const ledgerRows = async (store: Store): Promise<number> => (await store.ledger.check()).rows;

describe.each(Object.entries(places))('clearing up, on %s', (_name, open) => {
  test('ends with the step that is under way when its time is over, and the next run does the rest', async () => {
    const store = await open();
    await fill(store);
    const clock = new ManualClock(due);
    const type = retention({
      removeOld: (signal) => store.removeOld({ log: 90, payloads: 14, rollups: 730 }, signal),
      store: store.jobs,
      clock,
      historyDays: 90,
    });
    const types = new Map([[type.name, type]]);
    const engine = new Engine({ store: store.jobs, types, clock, random: () => 0, events: noEvents, mostWaiting: 10 });
    const job = {
      name: 'retention',
      tenant: 'system',
      type: 'retention',
      schedule: { kind: 'every', everyMs: 1000 },
      catchUp: 'once',
      catchUpWindowMs: dayMs,
      overlap: 'skip',
      jitterMs: 0,
      retries: 0,
      retryMs: 1000,
      timeoutMs: 1,
      settings: {},
    } as const;
    const turn = async (timeoutMs: number) => {
      await store.jobs.put({ ...job, timeoutMs }, { source: 'config', by: 'test', now: clock.now() });
      clock.advance(1000);
      await engine.refresh();
      await engine.makeDue();
      await engine.sweep();
      await engine.settled();
      return (await store.jobs.runs(everyTenant, { limit: 1 }))[0];
    };
    const aborted = await turn(1);
    expect(aborted).toMatchObject({ status: 'failed', output: null });
    expect(aborted?.error).toContain('It took longer than its time limit');
    // Nothing goes on behind it: what is there now is there until somebody clears up again.
    const left = await ledgerRows(store);
    expect(left).toBeGreaterThan(0);
    const whole = await turn(60_000);
    expect(whole).toMatchObject({ status: 'succeeded' });
    expect(await ledgerRows(store)).toBe(0);
    expect(await store.requestHistory.list(everyTenant, { limit: 10 })).toEqual([]);
    await engine.stop(0);
    await store.close();
  });
});
