import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestRecord } from '../../test/support/records.ts';
import { newRequestId } from '../core/ids.ts';
import type { RequestHistory, RequestRecord } from '../core/request-record.ts';
import { everyTenant } from '../core/request-record.ts';
import type { Store } from './sqlite/index.ts';
import { openStore } from './sqlite/index.ts';

const tenants = ['acme', 'ACME', 'umbrella', "x' OR '1'='1", 'سلام', ''];

/** 60 records, oldest first, of all tenants in turn. */
const records: RequestRecord[] = Array.from({ length: 60 }, (_, i) =>
  requestRecord({
    id: newRequestId(Date.UTC(2026, 0, 1) + i),
    time: Date.UTC(2026, 0, 1) + i,
    tenant: tenants[i % tenants.length]!,
    agent: i % 4 === 0 ? null : i % 4 === 1 ? 'other' : 'assistant',
    status: i % 5 === 0 ? 502 : 200,
    errorCode: i % 5 === 0 ? 'upstream_error' : null,
  }),
);
const newestFirst = records.toReversed();

const events = { failed() {}, recovered() {}, dropped() {} };
const options = { direct: {}, 'in a worker': { events } };

describe.each(['direct', 'in a worker'] as const)('the history, read %s', (how) => {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-test-'));
  let whole: Store;
  let store: RequestHistory;

  beforeAll(async () => {
    whole = await openStore(folder, options[how]);
    store = whole.requestHistory;
    await Promise.all(records.map((record) => whole.requestLog.append(record)));
  });

  afterAll(async () => {
    await whole.close();
    rmSync(folder, { recursive: true });
  });

  test('lists the newest first, as many as asked for', async () => {
    expect(await store.list(everyTenant, { limit: 1000 })).toStrictEqual(newestFirst);
    expect(await store.list(everyTenant, { limit: 3 })).toStrictEqual(newestFirst.slice(0, 3));
  });

  test('shows a tenant its own records, and never another’s', async () => {
    for (const tenant of [...tenants, 'nobody', '%', '*', 'acm']) {
      const listed = await store.list(tenant, { limit: 1000 });
      expect(listed).toStrictEqual(newestFirst.filter((record) => record.tenant === tenant));
    }
  });

  test('shows a tenant nothing of another’s by any filter', async () => {
    const acme = records.filter(({ tenant }) => tenant === 'acme');
    const query = fc.record(
      {
        limit: fc.integer({ min: 1, max: 1000 }),
        before: fc.oneof(fc.constantFrom(...records.map(({ id }) => id)), fc.string()),
        agent: fc.constantFrom('assistant', 'other', 'nobody', "' OR 1=1 --"),
        status: fc.constantFrom(200, 502, 404),
      },
      { requiredKeys: ['limit'] },
    );
    await fc.assert(
      fc.asyncProperty(query, async (asked) => {
        const { limit, before, agent, status } = asked;
        const expected = acme
          .toReversed()
          .filter((record) => before === undefined || Buffer.compare(Buffer.from(record.id), Buffer.from(before)) < 0)
          .filter((record) => agent === undefined || record.agent === agent)
          .filter((record) => status === undefined || record.status === status)
          .slice(0, limit);
        expect(await store.list('acme', asked)).toStrictEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test('is walked in pages without a gap or a repetition', async () => {
    for (const scope of [everyTenant, 'umbrella'] as const) {
      const walked: RequestRecord[] = [];
      while (walked.length <= records.length) {
        const last = walked.at(-1);
        const page = await store.list(scope, { limit: 7, ...(last === undefined ? {} : { before: last.id }) });
        if (page.length === 0) break;
        walked.push(...page);
      }
      expect(walked).toStrictEqual(newestFirst.filter(({ tenant }) => scope === everyTenant || tenant === scope));
    }
  });

  test('sees what was committed a moment ago', async () => {
    for (let i = 0; i < 5; i++) {
      const record = requestRecord({ id: newRequestId(Date.UTC(2027, 0, 1)), tenant: 'latest' });
      await whole.requestLog.append(record);
      expect(await store.list(record.tenant, { limit: 1 })).toStrictEqual([record]);
    }
  });
});
