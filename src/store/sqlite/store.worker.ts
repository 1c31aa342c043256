import type { SQLInputValue } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { answering } from '../answering.ts';
import { openDatabase } from './connection.ts';
import type { WorkerQuestion } from './worker-protocol.ts';

/** The thread for what must not hold up answers: reads of any size, and moving the log into the database. */
const { file } = workerData as { file: string };
const reader = openDatabase(file, { readOnly: true, busyTimeoutMs: 5000 });
const checkpointer = openDatabase(file, { readOnly: false, busyTimeoutMs: 0 });

function answer(question: WorkerQuestion): unknown {
  if (question.kind === 'read') return reader.prepare(question.sql).all(...(question.parameters as SQLInputValue[]));
  checkpointer.exec('PRAGMA wal_checkpoint(PASSIVE)');
  return null;
}

parentPort?.on('message', answering(parentPort, answer));
