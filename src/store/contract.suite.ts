import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apiKeyRecord } from '../../test/support/api-key.ts';
import { requestRecord } from '../../test/support/records.ts';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { MizanError } from '../core/errors.ts';
import { firstIdAt, newRequestId } from '../core/ids.ts';
import type { RequestQuery, RequestRecord } from '../core/request-record.ts';
import { everyTenant, publicRequest } from '../core/request-record.ts';
import { publicOverview } from '../core/overview.ts';
import type { Store } from './index.ts';
import { ledgerTests } from './ledger.suite.ts';
import { otherProcessTests, soon } from './other-process.suite.ts';

/** What a suite needs of an engine. */
export interface Engine {
  /** A store of a serving process, with a data folder of its own; all of them share one database. */
  open(): Promise<Store>;
  /** The same as a command opens it. */
  openDirect(): Promise<Store>;
}

const tenants = ['acme', 'ACME', 'umbrella', "x' OR '1'='1", 'سلام', ''];
const hour = 3_600_000;

/** 300 days ago: too old for the log, and not for the sums. */
const start = (Math.floor(Date.now() / (24 * hour)) - 300) * 24 * hour;

/** 120 records over five days, oldest first, of all tenants in turn. */
const records: RequestRecord[] = Array.from({ length: 120 }, (_, i) => {
  const isError = i % 5 === 0;
  return requestRecord({
    id: newRequestId(start + i * hour),
    time: start + i * hour,
    tenant: tenants[i % tenants.length]!,
    agent: i % 4 === 0 ? null : i % 4 === 1 ? 'other' : 'assistant',
    model: i % 3 === 0 ? 'slow' : 'fast',
    instance: i % 2 === 0 ? 'a' : 'b',
    status: isError ? 502 : 200,
    errorCode: isError ? 'upstream_error' : null,
    errorMessage: isError ? `The upstream 100%_failed: ${i}` : null,
    costUsd: i % 7 === 0 ? null : i / 1000,
    upstreamMs: i * 10,
    session: i % 6 === 0 ? 's1' : null,
    tags: i % 8 === 0 ? { team: 'red', 'a.b "c"': 'ü' } : null,
  });
});
const newestFirst = records.toReversed();

function matches(record: RequestRecord, query: RequestQuery): boolean {
  const { from, to, agent, model, instance, session, status, error, minLatencyMs, minCostUsd, tag } = query;
  const words = `${record.errorCode ?? ''}\n${record.errorMessage ?? ''}`.toLowerCase();
  return (
    (query.before === undefined || record.id < query.before) &&
    (query.after === undefined || record.id > query.after) &&
    (from === undefined || record.time >= from) &&
    (to === undefined || record.time < to) &&
    (agent === undefined || record.agent === agent) &&
    (model === undefined || record.model === model) &&
    (instance === undefined || record.instance === instance) &&
    (session === undefined || record.session === session) &&
    (status === undefined || record.status === status) &&
    (error === undefined || words.includes(error.toLowerCase())) &&
    (minLatencyMs === undefined || record.gatewayMs + record.upstreamMs >= minLatencyMs) &&
    (minCostUsd === undefined || (record.costUsd !== null && record.costUsd >= minCostUsd)) &&
    (tag === undefined || record.tags?.[tag.name] === tag.value)
  );
}

function expected(tenant: string, query: RequestQuery): RequestRecord[] {
  const all = newestFirst.filter((record) => record.tenant === tenant && matches(record, query));
  const isForwards = query.after !== undefined && query.before === undefined;
  return isForwards ? all.slice(-query.limit) : all.slice(0, query.limit);
}

const someId = fc.constantFrom(...records.map(({ id }) => id));
const someTime = fc.integer({ min: -2, max: 125 }).map((i) => start + i * hour);

const queries: fc.Arbitrary<RequestQuery> = fc.record(
  {
    limit: fc.integer({ min: 1, max: 1000 }),
    before: fc.oneof(someId, fc.stringMatching(/^[!-~]{0,8}$/)),
    after: someId,
    from: someTime,
    to: someTime,
    agent: fc.constantFrom('assistant', 'other', 'nobody', "' OR 1=1 --"),
    model: fc.constantFrom('fast', 'slow'),
    instance: fc.constantFrom('a', 'b'),
    session: fc.constantFrom('s1', 's2'),
    status: fc.constantFrom(200, 502, 404),
    error: fc.constantFrom('UPSTREAM', '100%_f', '%', '_', '\\', 'nothing'),
    minLatencyMs: fc.integer({ min: 0, max: 1200 }),
    minCostUsd: fc.double({ min: 0, max: 0.12, noNaN: true }),
    tag: fc.constantFrom({ name: 'team', value: 'red' }, { name: 'a.b "c"', value: 'ü' }, { name: 'x', value: '' }),
  },
  { requiredKeys: ['limit'] },
);

const key: ApiKeyRecord = apiKeyRecord({
  id: '0123456789abcdef',
  hash: 'f'.repeat(64),
  name: 'ci 🙂',
  tenant: 'acme',
  role: 'operator',
  agents: ['assistant', 'a"b'],
  createdAt: start,
  expiresAt: start + 365 * 24 * hour,
});

/** What every store promises, whatever the engine. */
export function storeContract(name: string, prepare: () => Promise<Engine>): void {
  describe(`a store on ${name}`, () => {
    let engine: Engine;
    let store: Store;

    beforeAll(async () => {
      engine = await prepare();
      store = await engine.open();
      await Promise.all(records.map((record) => store.requestLog.append(record)));
      await store.settled();
    });

    afterAll(() => store.close());

    test('lists the newest first, as many as asked for', async () => {
      expect(await store.requestHistory.list(everyTenant, { limit: 1000 })).toStrictEqual(newestFirst);
      expect(await store.requestHistory.list(everyTenant, { limit: 3 })).toStrictEqual(newestFirst.slice(0, 3));
    });

    test('shows a tenant its own records, and never another’s', async () => {
      for (const tenant of [...tenants, 'nobody', '%', '*', 'acm']) {
        const listed = await store.requestHistory.list(tenant, { limit: 1000 });
        expect(listed).toStrictEqual(newestFirst.filter((record) => record.tenant === tenant));
      }
    });

    test('finds by any filter what fits, and only the tenant’s', async () => {
      await fc.assert(
        fc.asyncProperty(queries, async (query) => {
          expect(await store.requestHistory.list('acme', query)).toStrictEqual(expected('acme', query));
        }),
        { numRuns: 150 },
      );
    });

    test('is walked in pages, to and fro, without a gap or a repetition', async () => {
      const mine = newestFirst.filter(({ tenant }) => tenant === 'umbrella');
      const walked: RequestRecord[] = [];
      for (let page; page === undefined || page.length > 0; walked.push(...page)) {
        page = await store.requestHistory.list('umbrella', { limit: 7, before: walked.at(-1)?.id });
      }
      expect(walked).toStrictEqual(mine);
      const back: RequestRecord[] = [mine.at(-1)!];
      for (let page; page === undefined || page.length > 0; back.unshift(...page)) {
        page = await store.requestHistory.list('umbrella', { limit: 7, after: back[0]!.id });
      }
      expect(back).toStrictEqual(mine);
    });

    test('gives back every field of a record as it was, attempts included', async () => {
      const trail = ['first', 'retry'].map((purpose, i) => ({
        model: 'fast',
        instance: 'b',
        provider: 'sim',
        purpose: purpose as 'first',
        outcome: i === 0 ? ('timeout_idle' as const) : ('ok' as const),
        detail: i === 0 ? 'سلام 🙂' : null,
        startedMs: 0.5 + i,
        durationMs: 1e-9,
      }));
      const kept: RequestRecord[] = [
        requestRecord({
          stream: true,
          firstTokenMs: 12.5,
          queuedMs: 3.25,
          cache: 'hit',
          principal: 'سلام 🙂',
          attempts: 2,
          trail,
        }),
        requestRecord({ inputTokens: 0, outputTokens: 0, costUsd: 0, gatewayMs: 0 }),
        requestRecord({ agent: null, model: null, instance: null, provider: null, inputTokens: null, costUsd: null }),
        requestRecord({ inputTokens: Number.MAX_SAFE_INTEGER, costUsd: 1e-9, time: 8.64e15 }),
      ].map((record) => ({ ...record, id: newRequestId(start), tenant: 'fields' }));
      await Promise.all(kept.map((record) => store.requestLog.append(record)));
      await store.settled();
      for (const record of kept) {
        expect(await store.requestHistory.find('fields', record.id)).toStrictEqual(record);
        expect(await store.requestHistory.find('acme', record.id)).toBe(undefined);
      }
    });

    test('keeps a record that is appended twice once, as it was first', async () => {
      const record = requestRecord({ id: newRequestId(start), tenant: 'twice' });
      await store.requestLog.append(record);
      await store.settled();
      await store.requestLog.append({ ...record, status: 500 });
      await store.settled();
      expect(await store.requestHistory.list('twice', { limit: 10 })).toStrictEqual([record]);
    });

    test('keeps API keys as they are, and revokes them once', () => {
      const keys = [key, { ...key, id: 'b', agents: null, expiresAt: null }, { ...key, id: 'c', agents: [] }];
      for (const each of keys) store.apiKeys.insert(each);
      for (const each of keys) expect(store.apiKeys.find(each.id)).toStrictEqual(each);
      expect(store.apiKeys.list(everyTenant)).toStrictEqual(keys);
      expect(() => store.apiKeys.insert({ ...key, name: 'other' })).toThrow(/UNIQUE/);
      expect(store.apiKeys.revoke('b', 7)).toBe(true);
      expect(store.apiKeys.revoke('b', 8)).toBe(false);
      expect(store.apiKeys.find('b')?.revokedAt).toBe(7);
      for (const id of ['', '%', "' OR 1=1 --"]) expect(store.apiKeys.find(id)).toBe(undefined);
    });

    test('works the same for a command that runs beside it', async () => {
      const command = await engine.openDirect();
      expect(await command.requestHistory.list('acme', { limit: 2 })).toStrictEqual(expected('acme', { limit: 2 }));
      command.apiKeys.insert({ ...key, id: 'by-command' });
      await command.close();
      const found = await soon(
        () => store.apiKeys.find('by-command'),
        (seen) => seen !== undefined,
      );
      expect(found?.name).toBe(key.name);
    });

    test('sums up requests by time and name, as the log has them', async () => {
      for (const [from, to] of [
        [start, start + 3 * hour],
        [start + 10 * hour, start + 50 * hour],
        [start - 400 * 24 * hour, start + 10 * 24 * hour],
      ] as const) {
        const query = { from, to };
        let overview = await store.overview('acme', query);
        const mine = records.filter(
          ({ tenant, time }) => tenant === 'acme' && time >= overview.from && time < overview.to,
        );
        for (let i = 0; i < 300 && overview.total.requests !== mine.length; i++) {
          await wait(20);
          overview = await store.overview('acme', query);
        }
        expect(overview.total).toMatchObject({
          requests: mine.length,
          errors: mine.filter(({ errorCode }) => errorCode !== null).length,
          inputTokens: mine.reduce((sum, { inputTokens }) => sum + (inputTokens ?? 0), 0),
          outputTokens: mine.reduce((sum, { outputTokens }) => sum + (outputTokens ?? 0), 0),
        });
        expect(overview.total.costUsd).toBeCloseTo(
          mine.reduce((sum, { costUsd }) => sum + (costUsd ?? 0), 0),
          9,
        );
        for (const { name: agent, requests } of overview.agents) {
          expect(requests).toBe(mine.filter((record) => (record.agent ?? '') === agent).length);
        }
        expect(overview.series.reduce((sum, { requests }) => sum + requests, 0)).toBe(mine.length);
        const latencies = mine.map((r) => r.gatewayMs + r.upstreamMs).toSorted((a, b) => a - b);
        const median = latencies[Math.ceil(latencies.length / 2) - 1]!;
        expect(Math.abs(overview.total.latencyMs.p50! / median - 1)).toBeLessThan(0.05);
      }
      expect(await store.overview('nobody', { from: start, to: start + hour })).toMatchObject({
        total: { requests: 0, latencyMs: { p50: null } },
        series: [],
      });
    });

    test('makes pages and overviews in JSON, as they are shown', async () => {
      for (const query of [{ limit: 7 }, { limit: 3, agent: 'assistant', before: newestFirst[20]!.id }]) {
        for (const scope of ['acme', 'سلام', everyTenant] as const) {
          const listed = await store.requestHistory.list(scope, query);
          const page = await store.requestHistory.page(scope, query);
          expect(JSON.parse(page.json)).toStrictEqual(JSON.parse(JSON.stringify(listed.map(publicRequest))));
          expect(page).toMatchObject({ count: listed.length, newest: listed[0]?.id, oldest: listed.at(-1)?.id });
        }
      }
      expect(await store.requestHistory.page('nobody', { limit: 1 })).toStrictEqual({
        json: '[]',
        count: 0,
        newest: null,
        oldest: null,
      });
      const query = { from: start, to: start + 10 * 24 * hour };
      const { as_of: asOf, ...shown } = JSON.parse(await store.overviewJson('acme', query)) as { as_of: string };
      const { as_of: _, ...read } = publicOverview(await store.overview('acme', query), 0);
      expect(shown).toStrictEqual(JSON.parse(JSON.stringify(read)));
      expect(Date.parse(asOf)).toBeGreaterThan(start);
    });

    test('keeps what was said, each tenant’s for itself, and shorter than the log', async () => {
      // Ids of one process never step back, so these are made by hand.
      const idAt = (days: number): string => `${firstIdAt(Date.now() - days * 24 * hour)}${'0'.repeat(16)}`;
      const [old, young] = [idAt(20), idAt(2)];
      const bytes = Buffer.from('{"said": "سلام 🙂\\u0000"}');
      for (const [i, requestId] of [old, young].entries()) {
        for (const tenant of ['acme', 'سلام', '']) {
          store.payloads.keep({
            requestId,
            tenant,
            request: { bytes, wholeBytes: bytes.length },
            answer: () => (i === 0 ? null : { bytes, wholeBytes: 100_000 }),
            error: i === 0 ? new MizanError('internal', tenant).toPublic(requestId) : null,
            size: bytes.length,
          });
        }
      }
      await store.settled();
      const text = bytes.toString();
      const facts = { isReadable: true, request: text, requestBytes: bytes.length };
      for (const tenant of ['acme', 'سلام', '']) {
        expect(await store.payloadHistory.find(tenant, old)).toStrictEqual({
          ...facts,
          answer: null,
          answerBytes: 0,
          error: new MizanError('internal', tenant).toPublic(old),
          isCut: false,
        });
        expect(await store.payloadHistory.find(tenant, young)).toStrictEqual({
          ...facts,
          answer: text,
          answerBytes: 100_000,
          error: null,
          isCut: true,
        });
      }
      expect(await store.payloadHistory.find('other', young)).toBe(undefined);
      const { payloads } = await store.removeOld({ log: 36_500, payloads: 14, rollups: 36_500 });
      expect(payloads).toBeGreaterThan(0);
      expect(await store.payloadHistory.find('acme', old)).toBe(undefined);
      expect(await store.payloadHistory.find('acme', young)).toMatchObject({ isReadable: true });
    });

    test('removes what is older than it is to be kept, and keeps the sums', async () => {
      const fresh = requestRecord({ id: newRequestId(Date.now()), time: Date.now() });
      await store.requestLog.append(fresh);
      await store.settled();
      const year = { from: start - 24 * hour, to: start + 10 * 24 * hour };
      const before = await store.overview('acme', year);
      expect(before.total.requests).toBeGreaterThan(0);
      const removed = await store.removeOld({ log: 90, payloads: 14, rollups: 730 });
      expect(removed.requests).toBeGreaterThan(0);
      const left = await store.requestHistory.list(everyTenant, { limit: 1000 });
      expect(left.filter(({ id, tenant }) => tenants.includes(tenant) && id < fresh.id)).toStrictEqual([]);
      expect(left).toContainEqual(fresh);
      expect(await store.overview('acme', year)).toStrictEqual(before);
      expect(await store.removeOld({ log: 90, payloads: 14, rollups: 730 })).toMatchObject({ requests: 0 });
      expect((await store.removeOld({ log: 90, payloads: 14, rollups: 200 })).rollups).toBeGreaterThan(0);
      expect((await store.overview('acme', year)).total.requests).toBe(0);
    });

    otherProcessTests(() => ({ engine, store }), key);

    ledgerTests(() => store, start);

    test('has no trouble and nothing pending once all is settled', async () => {
      await store.settled();
      const state = await soon(
        () => store.state(),
        ({ pending }) => pending === 0,
      );
      expect(state).toMatchObject({ trouble: null, pending: 0 });
    });
  });
}
