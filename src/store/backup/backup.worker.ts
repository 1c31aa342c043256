import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { MizanError, SetupError } from '../../core/errors.ts';
import { isRaised } from '../stop-flag.ts';
import { createConfiguredBackup, fromPlain, newBackup } from './settings.ts';
import type { Progress } from './contract.ts';
import type { BackupOrder, BackupReply } from './worker-protocol.ts';

/** The thread that makes one backup, and ends. Compressing, sealing and comparing are done here, when nobody else needs the processor. */
const { settings, now, stop } = workerData as BackupOrder;

/** How often it is told how far it is, in ms: each time wakes the thread that answers. */
const toldEveryMs = 250;

let told = { step: '', at: 0 };

function tell(progress: Progress): void {
  const at = performance.now();
  if (told.step === progress.step && at - told.at < toldEveryMs) return;
  told = { step: progress.step, at };
  reply({ progress });
}

function reply(message: BackupReply): void {
  parentPort?.postMessage(message);
}

try {
  // On Linux, 0 is this thread and not the process.
  if (process.platform === 'linux') setPriority(0, 19);
  const created = await createConfiguredBackup(fromPlain(settings), {
    now,
    onProgress(progress) {
      if (isRaised(stop)) throw new MizanError('shutting_down', 'The backup was given up.');
      tell(progress);
    },
  });
  reply({ done: newBackup(created) });
} catch (error) {
  const isKnown = error instanceof MizanError || error instanceof SetupError;
  const code = error instanceof MizanError ? error.code : 'internal';
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  reply({ failed: { code, message: isKnown ? error.message : 'The backup failed; the log has the cause.', detail } });
}
