import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { Payload } from '../../core/payload.ts';
import { openStore } from '../index.ts';
import type { Store } from '../index.ts';

vi.setConfig({ testTimeout: 60_000 });

const events = { failed() {}, recovered() {}, dropped() {}, away() {}, back() {} };

interface Told {
  failed: number;
  recovered: number;
  dropped: number;
}

async function open(): Promise<{ store: Store; database: DatabaseSync; told: Told; folder: string }> {
  const folder = temporaryFolder();
  const told: Told = { failed: 0, recovered: 0, dropped: 0 };
  const payloadEvents = {
    failed: () => void told.failed++,
    recovered: () => void told.recovered++,
    dropped: (count: number) => void (told.dropped += count),
  };
  const store = await openStore({ folder, url: null, events, payloadEvents });
  onTestFinished(() => store.close());
  const database = new DatabaseSync(join(folder, 'mizan.db'));
  onTestFinished(() => database.close());
  return { store, database, told, folder };
}

function payload(i: number, over: Partial<Payload> = {}): Payload {
  const bytes = Buffer.from(`{"said":${i}}`);
  return {
    requestId: `req_${i}`,
    tenant: 'acme',
    request: { bytes, wholeBytes: bytes.length },
    answer: () => ({ bytes, wholeBytes: bytes.length }),
    error: null,
    size: 1000,
    ...over,
  };
}

const kept = (database: DatabaseSync): unknown[] =>
  database
    .prepare('SELECT request_id AS id FROM payloads ORDER BY rowid')
    .all()
    .map(({ id }) => id);

describe('payloads on their way', () => {
  test('are kept once each, and opened again', async () => {
    const { store, database } = await open();
    for (let i = 0; i < 700; i++) store.payloads.keep(payload(i));
    store.payloads.keep(payload(3));
    expect(store.state().payloads).toEqual({ pending: 701, dropped: 0 });
    await store.settled();
    expect(store.state().payloads).toEqual({ pending: 0, dropped: 0 });
    expect(kept(database)).toEqual(Array.from({ length: 700 }, (_, i) => `req_${i}`));
    expect(await store.payloadHistory.find('acme', 'req_69')).toEqual({
      isReadable: true,
      request: '{"said":69}',
      answer: '{"said":69}',
      error: null,
      requestBytes: 11,
      answerBytes: 11,
      isCut: false,
    });
    expect(await store.payloadHistory.find('other', 'req_69')).toBe(undefined);
  });

  test('wait where the database can’t be written, within bounds, and say so', async () => {
    const { store, database, told } = await open();
    const size = 1024 * 1024;
    database.exec('BEGIN IMMEDIATE');
    // The key for the tenant can't be made either.
    for (let i = 0; i < 100; i++) store.payloads.keep(payload(i, { size }));
    expect(store.state().payloads).toEqual({ pending: 32, dropped: 68 });
    await vi.waitFor(() => expect(told).toEqual({ failed: 1, recovered: 0, dropped: 68 }), 20_000);
    expect(store.state().trouble).toContain("What was said can't be kept");
    database.exec('ROLLBACK');
    await vi.waitFor(() => expect(told.recovered).toBe(1), 20_000);
    await store.settled();
    expect(store.state()).toMatchObject({ trouble: null, payloads: { pending: 0, dropped: 68 } });
    expect(kept(database)).toEqual(Array.from({ length: 32 }, (_, i) => `req_${i + 68}`));
  });

  test('of a tenant whose key is damaged don’t hold up the others', async () => {
    const { store, database, told } = await open();
    store.payloads.keep(payload(1, { tenant: 'damaged' }));
    await store.settled();
    database.exec("UPDATE data_keys SET wrapped = zeroblob(length(wrapped)) WHERE tenant = 'damaged'");
    store.payloads.keep(payload(2, { tenant: 'damaged' }));
    store.payloads.keep(payload(3));
    await store.settled();
    expect(kept(database)).toEqual(['req_1', 'req_3']);
    expect(told).toMatchObject({ failed: 0, dropped: 1 });
  });

  test('that were moved to another row, or changed, don’t open', async () => {
    const { store, database } = await open();
    for (let i = 0; i < 3; i++) store.payloads.keep(payload(i));
    await store.settled();
    database.exec(`
      UPDATE payloads SET sealed = (SELECT sealed FROM payloads WHERE request_id = 'req_0') WHERE request_id = 'req_1';
      UPDATE payloads SET sealed = substr(sealed, 1, length(sealed) - 1) || x'00' WHERE request_id = 'req_2'`);
    const readable = [];
    for (let i = 0; i < 3; i++) readable.push((await store.payloadHistory.find('acme', `req_${i}`))?.isReadable);
    expect(readable).toEqual([true, false, false]);
  });
});
