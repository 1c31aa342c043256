import { setPriority } from 'node:os';
import type { SQLInputValue } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { answering } from '../answering.ts';
import { Answers } from '../answers.ts';
import { readOverview } from '../overview.ts';
import { kyselyOver } from './connection.ts';
import { openDatabase } from './database.ts';
import type { ReaderQuestion } from './worker-protocol.ts';

/** The thread for reads of any size. It holds no lock that anybody waits for, so that it can step back. */
const { file } = workerData as { file: string };
const reader = openDatabase(file, { readOnly: true, busyTimeoutMs: 5000 });
const reading = kyselyOver(reader);
const answers = new Answers(reading, { breathe: () => new Promise((resolve) => setImmediate(resolve)) });

// On Linux, 0 is this thread and not the process.
if (process.platform === 'linux') setPriority(0, 19);

function answer(question: ReaderQuestion): unknown {
  switch (question.kind) {
    case 'read':
      return reader.prepare(question.sql).all(...(question.parameters as SQLInputValue[]));
    case 'page':
      return answers.page(question.tenant, question.query);
    case 'overview':
      return readOverview(reading, question.tenant, question.query);
    case 'overview in JSON':
      return answers.overview(question.tenant, question.query);
  }
}

parentPort?.on('message', answering(parentPort, answer));
