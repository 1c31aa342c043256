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
import type { JobContext, JobEvents } from '../contract.ts';
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

/** Long enough ago for rows to go: a thousand requests of many tenants, each with a row of the ledger. */
async function fill(store: Store): Promise<void> {
  const time = Date.now() - 100 * dayMs;
  const records = Array.from({ length: 1000 }, (_, i) =>
    requestRecord({
      id: newRequestId(time + i),
      time: time + i,
      tenant: `tenant-${i % 20}`,
      charges: [{ seq: 0, model: 'fast', cost: 1, budgets: [['budgets/all', 0]] }],
    }),
  );
  await Promise.all(records.map((record) => store.requestLog.append(record)));
  await store.settled();
}

const nothing = { requests: 0, payloads: 0, rollups: 0, freedBytes: null };

async function untilAborted(signal: AbortSignal): Promise<typeof nothing> {
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
  });
  return nothing;
}

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

/** Days of PostgreSQL are made and dropped one by one, which takes its time on a machine that has much else to do. */
const patient = { timeout: 120_000 };

const ledgerRows = async (store: Store): Promise<number> => (await store.ledger.check()).rows;

describe.each(Object.entries(places))('clearing up, on %s', (_name, open) => {
  test(
    'ends with the step that is under way when its time is over, and the next run does the rest',
    patient,
    async () => {
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
      const engine = new Engine({
        store: store.jobs,
        types,
        clock,
        random: () => 0,
        events: noEvents,
        mostWaiting: 10,
      });
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
    },
  );

  test('is not waited for when the process ends, and somebody else goes on with it', async () => {
    const store = await open();
    const clock = new ManualClock(due + dayMs);
    const type = retention({ removeOld: untilAborted, store: store.jobs, clock, historyDays: 90 });
    const engine = new Engine({
      store: store.jobs,
      types: new Map([[type.name, type]]),
      clock,
      random: () => 0,
      events: noEvents,
      mostWaiting: 10,
    });
    await store.jobs.put({ ...job, timeoutMs: 2e9 }, { source: 'config', by: 'test', now: clock.now() });
    clock.advance(1000);
    await engine.refresh();
    await engine.makeDue();
    await engine.sweep();
    await engine.stop(2e9);
    expect((await store.jobs.open(clock.now())).map(({ status }) => status)).toEqual(['waiting']);
    await store.close();
  });
});

test('clearing up says each minute how far it is', async () => {
  const store = await openStore({ folder: join(folder, 'saying'), url: null });
  const clock = new ManualClock(due);
  const said: string[] = [];
  const type = retention({
    async removeOld(_signal, onProgress) {
      for (let seconds = 1; seconds <= 130; seconds++) {
        clock.advance(1000);
        onProgress(seconds, 1000);
      }
      return nothing;
    },
    store: store.jobs,
    clock,
    historyDays: 90,
  });
  const context = { signal: new AbortController().signal, say: (line: string) => void said.push(line) };
  await type.run(context as unknown as JobContext);
  expect(said.slice(0, -1)).toEqual(['60 of about 1000 rows have gone.', '120 of about 1000 rows have gone.']);
  await store.close();
});
