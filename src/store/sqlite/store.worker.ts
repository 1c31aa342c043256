import type { SQLInputValue } from 'node:sqlite';
import { basename, dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.ts';
import { AuditWriter } from './audit-writer.ts';
import type { WorkerReply, WorkerRequest } from './worker-protocol.ts';

/** The thread for what must not hold up answers: reads of any size, moving the log into the database, and what has to be on the disk. */
const { file } = workerData as { file: string };
const reader = openDatabase(file, { readOnly: true, busyTimeoutMs: 5000 });
const checkpointer = openDatabase(file, { readOnly: false, busyTimeoutMs: 0 });
const audit = new AuditWriter(dirname(file), basename(file));

function answer(request: WorkerRequest): WorkerReply {
  try {
    if (request.kind === 'checkpoint') {
      checkpointer.exec('PRAGMA wal_checkpoint(PASSIVE)');
      return { id: request.id, rows: [] };
    }
    if (request.kind === 'audit') {
      audit.append(request.rows);
      return { id: request.id, rows: [] };
    }
    return { id: request.id, rows: reader.prepare(request.sql).all(...(request.parameters as SQLInputValue[])) };
  } catch (error) {
    return { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (request: WorkerRequest) => parentPort?.postMessage(answer(request)));
