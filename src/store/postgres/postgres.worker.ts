import { parentPort, workerData } from 'node:worker_threads';
import type { Pool } from 'pg';
import { MizanError } from '../../core/errors.ts';
import { answering } from '../answering.ts';
import { openDatabase } from '../sqlite/connection.ts';
import { openPool } from './connection.ts';
import { away, Courier } from './courier.ts';
import type { PostgresQuestion } from './worker-protocol.ts';

/** The thread that speaks with PostgreSQL: sends what waits in the local database, and reads. */
const { file, url } = workerData as { file: string; url: string };
const courier = new Courier(
  openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 }),
  openPool(url, { max: 2, statementTimeoutMs: 60_000 }),
);
const readers = openPool(url, { max: 4, statementTimeoutMs: 5000 });

async function answer(question: PostgresQuestion): Promise<unknown> {
  if (question.kind === 'settle') return courier.settled();
  return read(readers, question.sql, question.parameters);
}

async function read(pool: Pool, sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
  try {
    return (await pool.query(sql, [...parameters])).rows as unknown[];
  } catch (error) {
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

parentPort?.on('message', answering(parentPort, answer));
void courier.run((state) => parentPort?.postMessage({ event: state }));
