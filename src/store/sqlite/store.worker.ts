import type { SQLInputValue } from 'node:sqlite';
import { basename, dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { answering } from '../answering.ts';
import { makeDue, noteDue, noteSinceLast } from '../rollups.ts';
import { kyselyOver } from './connection.ts';
import { openDatabase } from './database.ts';
import { AuditWriter } from './audit-writer.ts';
import { removeOld } from './retention.ts';
import { isRaised } from '../stop-flag.ts';
import type { WorkerQuestion } from './worker-protocol.ts';

/**
 * The thread for what must not hold up answers and writes: sums, clearing up, checkpoints, and what has to be on the disk.
 */
const { file } = workerData as { file: string };
const checkpointer = openDatabase(file, { readOnly: false, busyTimeoutMs: 0 });
const writer = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
// Whoever serves moves it once a second, and each time the disk is synced.
writer.exec('PRAGMA wal_autocheckpoint = 20000');
const writing = kyselyOver(writer);
const audit = new AuditWriter(dirname(file), basename(file));

/** Sums are made by one task at a time, and old rows are removed by one. */
let sums: Promise<void> | null = null;
let removal: Promise<unknown> = Promise.resolve();

function answer(question: WorkerQuestion): unknown {
  switch (question.kind) {
    case 'write':
      return writer.prepare(question.sql).all(...(question.parameters as SQLInputValue[]));
    case 'checkpoint':
      checkpointer.exec('PRAGMA wal_checkpoint(PASSIVE)');
      return null;
    case 'audit':
      audit.append(question.rows);
      return null;
    case 'roll up':
      sums = (sums?.catch(() => undefined) ?? noteSinceLast(writing)).then(() => rollUp(question.minutes));
      return sums;
    case 'remove old':
      removal = removal
        .catch(() => undefined)
        .then(() =>
          removeOld(writer, question.retention, Date.now(), {
            isStopped: () => isRaised(question.stop),
            onProgress: (done, total) => question.progress.set([done, total]),
          }),
        );
      return removal;
  }
}

async function rollUp(minutes: readonly number[]): Promise<void> {
  await noteDue(writing, minutes);
  while (await makeDue(writing)) await new Promise((resolve) => setImmediate(resolve));
}

parentPort?.on('message', answering(parentPort, answer));
