import type { SQLInputValue } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.ts';
import type { WorkerReply, WorkerRequest } from './worker-protocol.ts';

/** The thread for what must not hold up answers: reads of any size, and moving the log into the database. */
const { file } = workerData as { file: string };
const reader = openDatabase(file, { readOnly: true, busyTimeoutMs: 5000 });
const checkpointer = openDatabase(file, { readOnly: false, busyTimeoutMs: 0 });

function answer(request: WorkerRequest): WorkerReply {
  try {
    if (request.kind === 'checkpoint') {
      checkpointer.exec('PRAGMA wal_checkpoint(PASSIVE)');
      return { id: request.id, rows: [] };
    }
    return { id: request.id, rows: reader.prepare(request.sql).all(...(request.parameters as SQLInputValue[])) };
  } catch (error) {
    return { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (request: WorkerRequest) => parentPort?.postMessage(answer(request)));
