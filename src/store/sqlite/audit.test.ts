import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { AuditEvent } from '../../core/audit.ts';
import { byOperator } from '../../core/audit.ts';
import { everyTenant } from '../../core/request-record.ts';
import { Secret } from '../../core/secret.ts';
import { secretFile } from '../../security/secret-file.ts';
import type { AuditRow } from './audit-chain.ts';
import { AuditChain, auditColumns, auditHeadFile, auditKeyFile } from './audit-chain.ts';
import { directAuditLog, QueuedAuditLog } from './audit-log.ts';
import type { AuditVerdict } from './audit-verify.ts';
import { verifyAudit, verifyChain } from './audit-verify.ts';
import { AuditWriter } from './audit-writer.ts';
import { openDatabase } from './database.ts';
import { databaseFile } from './file.ts';
import { openStore } from './index.ts';

const actor = { subject: 'سارة', tenant: 'acme', via: 'jwt' } as const;
const events: readonly AuditEvent[] = [
  byOperator({ action: 'key.create', tenant: 'acme', target: 'key:1', after: { name: 'a' } }),
  {
    action: 'request.denied',
    outcome: 'denied',
    actor,
    tenant: 'acme',
    target: 'POST /ai-process',
    before: null,
    after: { code: 'forbidden' },
    from: '127.0.0.1',
    requestId: 'req_1',
    count: 17,
  },
  byOperator({ action: 'key.revoke', tenant: 'other', target: 'key:2', before: { a: 1 }, after: { a: 2 } }),
  { ...byOperator({ action: 'x', tenant: 'system', target: null }), actor: 'system', outcome: 'failed' },
  byOperator({ action: 'key.create', tenant: 'acme', target: 'key:1', after: { name: 'a' } }),
];

const open = (folder: string): DatabaseSync =>
  openDatabase(join(folder, databaseFile), { readOnly: false, busyTimeoutMs: 1000 });
const verify = (folder: string): AuditVerdict => verifyAudit(folder, databaseFile);

async function furnish(folder: string, all: readonly AuditEvent[] = events): Promise<string> {
  const store = await openStore(folder);
  for (const event of all) store.audit.record(event);
  await store.close();
  return folder;
}

describe('the audit log', () => {
  test('keeps what happened, and shows it newest first, a tenant its own', async () => {
    const store = await openStore(temporaryFolder());
    for (const event of events) store.audit.record(event);
    const all = await store.auditHistory.list(everyTenant, { limit: 10 });
    expect(all.map(({ seq }) => seq)).toEqual([5, 4, 3, 2, 1]);
    const { time: _time, ...second } = all[3]!;
    expect(second).toEqual({ seq: 2, ...events[1] });
    expect((await store.auditHistory.list('acme', { limit: 10 })).map(({ seq }) => seq)).toEqual([5, 2, 1]);
    expect((await store.auditHistory.list('acme', { limit: 1, before: 5 })).map(({ seq }) => seq)).toEqual([2]);
    const walked: number[] = [];
    for await (const { seq } of store.auditHistory.walk(everyTenant)) walked.push(seq);
    expect(walked).toEqual([1, 2, 3, 4, 5]);
    await store.close();
  });

  test('walks through any number of entries, each once', async () => {
    const folder = await furnish(temporaryFolder(), []);
    const writer = new AuditWriter(folder, databaseFile);
    const row: AuditRow = {
      time: 1,
      tenant: 't',
      action: 'a',
      outcome: 'done',
      actor: null,
      target: null,
      before: null,
      after: null,
      from_address: null,
      request_id: null,
      count: 1,
    };
    writer.append(Array.from({ length: 1203 }, () => row));
    writer.close();
    const store = await openStore(folder);
    let expected = 0;
    for await (const { seq } of store.auditHistory.walk('t')) expect(seq).toBe(++expected);
    expect(expected).toBe(1203);
    await store.close();
    expect(verify(folder)).toEqual({ isWhole: true, entries: 1203 });
  });

  test('holds no secret, nothing without end and nothing that is no JSON', async () => {
    const store = await openStore(temporaryFolder());
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const afters = [{ key: new Secret('hunter2') }, 'x'.repeat(20_000), circle, 1n, () => 1, undefined];
    for (const after of afters) store.audit.record(byOperator({ action: 'a', tenant: 't', target: null, after }));
    const kept = (await store.auditHistory.list('t', { limit: 10 })).map(({ after }) => after).toReversed();
    expect(kept).toEqual([
      { key: '[secret]' },
      { left_out: '20002 characters' },
      { left_out: 'no JSON' },
      { left_out: 'no JSON' },
      null,
      null,
    ]);
    await store.close();
  });

  test('is only ever appended to, says the database itself', async () => {
    const database = open(await furnish(temporaryFolder()));
    expect(() => database.exec("UPDATE audit SET action = 'x'")).toThrow(/only ever appended to/);
    expect(() => database.exec('DELETE FROM audit WHERE seq = 5')).toThrow(/only ever appended to/);
    database.close();
  });

  test('is one chain, whoever appends', async () => {
    const folder = await furnish(temporaryFolder(), []);
    const stores = await Promise.all(
      [1, 2, 3].map(() => openStore(folder, { events: { failed() {}, recovered() {}, dropped() {} } })),
    );
    const direct = await openStore(folder);
    for (let i = 0; i < 30; i++) {
      for (const store of [...stores, direct]) store.audit.record(events[i % events.length]!);
      await new Promise(setImmediate);
    }
    await Promise.all([...stores, direct].map((store) => store.close()));
    expect(verify(folder)).toEqual({ isWhole: true, entries: 120 });
  });
});

describe('a store that can’t be written', () => {
  const told: string[] = [];
  const tell = {
    failed: () => void told.push('failed'),
    recovered: () => void told.push('recovered'),
    dropped: (action: string) => void told.push(`dropped ${action}`),
  };

  test('is told of once, fails nobody, and gets everything in order once it can be', async () => {
    told.length = 0;
    const got: string[] = [];
    let isAway = true;
    const log = new QueuedAuditLog(async (rows) => {
      if (isAway) throw new Error('away');
      got.push(...rows.map(({ action }) => action));
    }, tell);
    for (let i = 0; i < 1005; i++) log.record(byOperator({ action: `a${i}`, tenant: 't', target: null }));
    await new Promise(setImmediate);
    isAway = false;
    await log.close();
    expect(told.toSorted()).toEqual([...[0, 1, 2, 3, 4].map((i) => `dropped a${i}`), 'failed', 'recovered']);
    expect(got).toHaveLength(1000);
    expect(got).toEqual(got.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))));
  });

  test('is told of by commands, too', () => {
    told.length = 0;
    const log = directAuditLog(() => {
      throw new Error('away');
    }, tell.failed);
    log.record(events[0]!);
    expect(told).toEqual(['failed']);
  });
});

describe('verifying finds', () => {
  let folder: string;
  let database: DatabaseSync;
  let chain: AuditChain;

  beforeAll(async () => {
    folder = await furnish(mkdtempSync(join(tmpdir(), 'mizan-test-')));
    database = open(folder);
    database.exec('DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;');
    chain = new AuditChain(secretFile(folder, auditKeyFile));
  });

  afterAll(() => {
    database.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** What verifying says while the database is so changed. */
  function after(...changes: readonly [sql: string, ...parameters: SQLInputValue[]][]): AuditVerdict {
    database.exec('BEGIN');
    try {
      for (const [sql, ...parameters] of changes) database.prepare(sql).run(...parameters);
      return verifyChain(chain.readHead(folder), chain, database);
    } finally {
      database.exec('ROLLBACK');
    }
  }

  const broken = (seq: number) => expect.objectContaining({ isWhole: false, seq });
  const columns = [...auditColumns, 'mac'];
  const bytesOf = (seq: number, column: string): Buffer | null => {
    const row = database.prepare(`SELECT CAST("${column}" AS BLOB) AS v FROM audit WHERE seq = ?`).get(seq);
    return row?.['v'] === null ? null : Buffer.from(row?.['v'] as Uint8Array);
  };
  const typeOf = (column: string): string =>
    column === 'mac' ? 'BLOB' : column === 'time' || column === 'count' ? 'INTEGER' : 'TEXT';
  const set = (seq: number, column: string, bytes: Buffer): AuditVerdict =>
    after([`UPDATE audit SET "${column}" = CAST(? AS ${typeOf(column)}) WHERE seq = ?`, bytes, seq]);

  test('nothing where nothing was changed', () => {
    expect(after()).toEqual({ isWhole: true, entries: 5 });
  });

  test('a change of any byte of any column of any entry', () => {
    let changes = 0;
    for (const seq of [1, 2, 3, 4, 5]) {
      for (const column of columns) {
        const bytes = bytesOf(seq, column) ?? Buffer.alloc(0);
        for (let i = 0; i < bytes.length; i++) {
          const other = Buffer.from(bytes);
          // Digits stay digits, or the number would become the same one.
          other[i] = typeOf(column) === 'INTEGER' ? (other[i] === 0x39 ? 0x31 : 0x39) : other[i]! ^ 1;
          expect(set(seq, column, other)).toEqual(broken(seq));
          changes++;
        }
      }
    }
    expect(changes).toBeGreaterThan(500);
  });

  test('anything else in the place of anything', () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.integer(),
      fc.double({ noNaN: true }),
      fc.uint8Array(),
      fc.constant(null),
    );
    const isNullable = (column: string): boolean =>
      ['actor', 'target', 'before', 'after', 'from_address', 'request_id'].includes(column);
    const select = database.prepare(
      `SELECT ${columns.map((c) => `typeof("${c}") || quote(CAST("${c}" AS BLOB)) AS "${c}"`).join(', ')} FROM audit WHERE seq = ?`,
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.constantFrom(...columns), value, (seq, column, given) => {
        fc.pre(given !== null || isNullable(column));
        const before = select.get(seq)?.[column];
        database.exec('BEGIN');
        let isSame: boolean;
        let verdict: AuditVerdict;
        try {
          database.prepare(`UPDATE audit SET "${column}" = ? WHERE seq = ?`).run(given, seq);
          isSame = select.get(seq)?.[column] === before;
          verdict = verifyChain(chain.readHead(folder), chain, database);
        } finally {
          database.exec('ROLLBACK');
        }
        expect(verdict).toEqual(isSame ? { isWhole: true, entries: 5 } : broken(seq));
      }),
      { numRuns: 500 },
    );
  });

  test('text of the same look in other bytes', () => {
    const look = bytesOf(2, 'actor')!.toString().replace('jwt', '\uFFFD\uFFFD\uFFFD');
    expect(set(2, 'actor', Buffer.from(look))).toEqual(broken(2));
    expect(after([`UPDATE audit SET target = '' WHERE seq = 4`])).toEqual(broken(4));
    expect(after([`UPDATE audit SET target = CAST(target AS BLOB) WHERE seq = 2`])).toEqual(broken(2));
    // From one column into the next one.
    expect(after([`UPDATE audit SET tenant = 'acmer', action = 'equest.denied' WHERE seq = 2`])).toEqual(broken(2));
  });

  test('any entries that are gone, at the end too', () => {
    for (let gone = 1; gone < 32; gone++) {
      const seqs = [1, 2, 3, 4, 5].filter((seq) => gone & (1 << (seq - 1)));
      expect(after([`DELETE FROM audit WHERE seq IN (${seqs.join()})`])).toEqual(broken(seqs[0]!));
    }
  });

  test('entries that are gone, and the others moved up', () => {
    for (const seq of [1, 2, 3, 4]) {
      const verdict = after(
        ['DELETE FROM audit WHERE seq = ?', seq],
        ['UPDATE audit SET seq = -seq WHERE seq > ?', seq],
        ['UPDATE audit SET seq = -seq - 1 WHERE seq < 0'],
      );
      expect(verdict).toEqual(broken(seq));
    }
  });

  test('entries that have changed places, alike or not', () => {
    for (const a of [1, 2, 3, 4, 5]) {
      for (const b of [1, 2, 3, 4, 5].filter((other) => other > a)) {
        const verdict = after(
          ['UPDATE audit SET seq = -1 WHERE seq = ?', a],
          ['UPDATE audit SET seq = ? WHERE seq = ?', a, b],
          ['UPDATE audit SET seq = ? WHERE seq = -1', b],
        );
        expect(verdict).toEqual(broken(a));
      }
    }
  });

  test('an entry that was made up, wherever it is put', () => {
    const copy = (seq: number): [string, number] => [
      `INSERT INTO audit SELECT ?, ${columns.map((column) => `"${column}"`).join(', ')} FROM audit WHERE seq = 5`,
      seq,
    ];
    for (const seq of [0, -1, 6]) expect(after(copy(seq))).toEqual(broken(seq));
    expect(after(copy(7))).toEqual(broken(6));
    expect(after([copy(1)[0], 2 ** 52])).toEqual(broken(6));
  });

  test('a chain that was made anew without the key', () => {
    const other = new AuditChain(new Secret('another key of no less than 32 characters'));
    expect(verifyChain(null, other, database)).toEqual(broken(1));
  });
});

describe('the head, in a file of its own', () => {
  const tamper = (folder: string, sql: string): void => {
    const database = open(folder);
    database.exec(`DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; ${sql}`);
    database.close();
  };

  test('keeps a gap open for ever, though entries follow it', async () => {
    const folder = await furnish(temporaryFolder());
    tamper(folder, 'DELETE FROM audit WHERE seq > 2');
    expect(verify(folder)).toMatchObject({ isWhole: false, seq: 3 });
    await furnish(folder);
    expect(verify(folder)).toMatchObject({ isWhole: false, seq: 3, reason: 'entries are missing before 6' });
  });

  test('finds a database that was put back to what it was', async () => {
    const folder = await furnish(temporaryFolder());
    const file = join(folder, databaseFile);
    copyFileSync(file, `${file}.old`);
    await furnish(folder);
    expect(verify(folder)).toEqual({ isWhole: true, entries: 10 });
    copyFileSync(`${file}.old`, file);
    expect(verify(folder)).toMatchObject({ isWhole: false, seq: 6 });
  });

  test('may be behind, where the process died in between, and catches up', async () => {
    const folder = await furnish(temporaryFolder());
    const file = join(folder, auditHeadFile);
    const old = readFileSync(file);
    await furnish(folder);
    writeFileSync(file, old);
    expect(verify(folder)).toEqual({ isWhole: true, entries: 10 });
    await furnish(folder, events.slice(0, 1));
    expect(readFileSync(file, 'utf8')).toMatch(/^11 /);
    expect(verify(folder)).toEqual({ isWhole: true, entries: 11 });
  });

  test('is missed where it is gone, and known where it is forged', async () => {
    const folder = await furnish(temporaryFolder());
    const file = join(folder, auditHeadFile);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace(/^5/, '4'));
    expect(verify(folder)).toMatchObject({ isWhole: false, reason: 'audit.head is not what was written' });
    await furnish(folder);
    expect(verify(folder)).toMatchObject({ isWhole: false });
    rmSync(file);
    expect(verify(folder)).toMatchObject({ isWhole: false, reason: 'audit.head is missing' });
  });

  test('and the key are missed where they are gone', async () => {
    const folder = await furnish(temporaryFolder());
    rmSync(join(folder, auditKeyFile));
    expect(verify(folder)).toMatchObject({ isWhole: false, seq: 1 });
  });

  test('is not there before there is anything to say', async () => {
    const folder = await furnish(temporaryFolder(), []);
    expect(verify(folder)).toEqual({ isWhole: true, entries: 0 });
  });
});
