import { parentPort, workerData } from 'node:worker_threads';
import { MizanError } from '../../core/errors.ts';
import { answering } from '../answering.ts';
import { openDatabase } from '../sqlite/database.ts';
import { openPayload, sealPayload } from './document.ts';
import type { PayloadQuestion } from './worker-protocol.ts';
import { PayloadWriter } from './writer.ts';

/** The thread that compresses, seals and writes what was said, and opens it again. */
const { file } = workerData as { file: string };
const writer = new PayloadWriter(openDatabase(file, { readOnly: false, busyTimeoutMs: 1000 }));

function answer(question: PayloadQuestion): unknown {
  if (question.kind === 'open') return openPayload(question.sealed, question.key, question.context);
  const { bytes, keys, payloads } = question;
  let at = 0;
  const next = (length: number): Uint8Array => bytes.subarray(at, (at += length));
  const rows = payloads.map(({ requestLength, answerLength, key, ...rest }) => {
    const plain = {
      ...rest,
      request: next(requestLength),
      answer: answerLength === null ? null : next(answerLength),
    };
    const sealing = keys[key];
    if (sealing === undefined) throw new MizanError('internal', 'A payload came without its key.');
    return sealPayload(plain, sealing);
  });
  writer.write(rows);
  return null;
}

parentPort?.on('message', answering(parentPort, answer));
