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
import { isRaised } from '../stop-flag.ts';
import { removeOld } from './retention.ts';
import type { PostgresQuestion } from './worker-protocol.ts';

/** The thread that speaks with PostgreSQL: sends what waits in the local database, and reads. */
const { file, url, name } = workerData as { file: string; url: string; name: string | undefined };
const courier = new Courier(
  openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 }),
  openPool(url, { max: 2, statementTimeoutMs: 60_000 }),
);
const readers = openPool(url, { max: 4, statementTimeoutMs: 5000, name });
const keepers = openPool(url, { max: 2, statementTimeoutMs: 600_000 });
const answers = new Answers(kyselyOver(readers));
const copies = new AuditCopies(dirname(file), keepers);

/** How often sums are made of what arrived, and the audit log is copied, in ms. */
const sumsEveryMs = 2000;

async function answer(question: PostgresQuestion): Promise<unknown> {
  switch (question.kind) {
    case 'settle':
      return courier.settled();
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

/** For ever; while PostgreSQL is away there is nothing to sum up or to copy. */
async function everyTwoSeconds(work: () => Promise<void>): Promise<never> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, sumsEveryMs));
    try {
      await work();
    } catch {
      // What was due stays due, and whoever is away is told of by the courier.
    }
  }
}

async function makeSums(): Promise<void> {
  const db = kyselyOver(keepers);
  while (await makeDue(db)) continue;
}

parentPort?.on('message', answering(parentPort, answer));
void everyTwoSeconds(makeSums);
void everyTwoSeconds(() => copies.ship());
void courier.run((state) => parentPort?.postMessage({ event: state }));
