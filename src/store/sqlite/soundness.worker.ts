import { parentPort, workerData } from 'node:worker_threads';
import { answering } from '../answering.ts';
import { isDamage } from './damage.ts';
import { openDatabase } from './database.ts';

/** The thread that reads a whole file once, which takes as long as it takes. Says what is wrong with it, if anything. */
const { file } = workerData as { file: string };

function answer(): string | null {
  const database = openDatabase(file, { readOnly: true, busyTimeoutMs: 5000 });
  try {
    const found = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    return found === 'ok' ? null : String(found);
  } catch (error) {
    // There are pages without which not even the others can be looked at.
    if (error instanceof Error && isDamage(error)) return error.message;
    throw error;
  } finally {
    database.close();
  }
}

parentPort?.on('message', answering(parentPort, answer));
