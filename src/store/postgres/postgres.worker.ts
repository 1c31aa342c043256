import { dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { Pool } from 'pg';
import { MizanError } from '../../core/errors.ts';
import { answering } from '../answering.ts';
import { Answers } from '../answers.ts';
import { openDatabase } from '../sqlite/database.ts';
import { readOverview } from '../overview.ts';
import { makeDue } from '../rollups.ts';
import { AuditCopies } from './audit-copies.ts';
import { kyselyOver, openPool } from './connection.ts';
import { away, Courier } from './courier.ts';
import { look, paidRows } from './look.ts';
import { isRaised } from '../stop-flag.ts';
import { removeOld } from './retention.ts';
import type { SleepFlag } from './sleep-flag.ts';
import type { PaidRow, PostgresQuestion } from './worker-protocol.ts';

interface Given {
  readonly file: string;
  readonly url: string;
  readonly name: string | undefined;
  readonly sleep: SleepFlag;
}

/**
 * How often it is looked for what others changed while there is nothing to send, in ms. What was taken back has to end in a
 * gateway sooner than within the second that is promised; a scheduler needs to know of it when it begins a job.
 */
const drowsy = { gatewayMs: 500, schedulerMs: 900 };

/** The thread that speaks with PostgreSQL: sends what waits in the local database, and reads. */
const { file, url, name, sleep } = workerData as Given;
const courier = new Courier(
  openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 }),
  openPool(url, { max: 2, statementTimeoutMs: 60_000 }),
  name === undefined ? drowsy.schedulerMs : drowsy.gatewayMs,
);
const readers = openPool(url, { max: 4, statementTimeoutMs: 5000, name });
const keepers = openPool(url, { max: 2, statementTimeoutMs: 600_000 });
const answers = new Answers(kyselyOver(readers));
const copies = new AuditCopies(dirname(file), keepers);

/** How long sums of what arrived, and copies of the audit log, rest after they were made; in ms. */
const restMs = 2000;

async function answer(question: PostgresQuestion): Promise<unknown> {
  switch (question.kind) {
    case 'settle':
      return courier.settled();
    case 'paid':
      return asked(paidByAll());
    case 'wake':
      return courier.wake();
    case 'changed':
      return courier.changed();
    case 'read':
      return read(readers, question.sql, question.parameters);
    case 'page':
      return asked(answers.page(question.tenant, question.query));
    case 'overview':
      return asked(readOverview(kyselyOver(readers), question.tenant, question.query));
    case 'overview in JSON':
      return asked(answers.overview(question.tenant, question.query));
    case 'remove old':
      return asked(removeOld(keepers, question.retention, Date.now(), () => isRaised(question.stop)));
  }
}

async function paidByAll(): Promise<readonly PaidRow[]> {
  return paidRows((await look(readers, true)).paid);
}

async function read(pool: Pool, sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
  return (await asked(pool.query(sql, [...parameters]))).rows as unknown[];
}

async function asked<T>(asking: Promise<T>): Promise<T> {
  try {
    return await asking;
  } catch (error) {
    if (error instanceof MizanError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === '57014') {
      throw new MizanError('query_too_costly', 'It took longer than 5 s. Narrow it with from and to.', {
        cause: error,
      });
    }
    // Classes of SQLSTATE that say that the question was wrong; everything else means that nobody answered.
    throw /^(?:22|23|42)/.test(code) ? error : away(error);
  }
}

/** Work that is begun when PostgreSQL was there a moment ago: once at a time, and not again before it has rested. */
function rested(work: () => Promise<void>): () => void {
  let from = Number.NEGATIVE_INFINITY;
  let isUnderWay = false;
  const rest = (): void => {
    isUnderWay = false;
    from = performance.now() + restMs;
  };
  return () => {
    if (isUnderWay || performance.now() < from) return;
    isUnderWay = true;
    // What was due stays due, and whoever is away is told of by the courier.
    work().then(rest, rest);
  };
}

async function makeSums(): Promise<void> {
  const db = kyselyOver(keepers);
  while (await makeDue(db)) continue;
}

const sum = rested(makeSums);
const copy = rested(() => copies.ship());

parentPort?.on('message', answering(parentPort, answer));
void courier.run({
  sleep,
  tell: (news) => parentPort?.postMessage({ event: news }),
  exchanged(hasSumsDue) {
    if (hasSumsDue) sum();
    copy();
  },
});
