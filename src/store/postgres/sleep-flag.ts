import type { RequestLog } from '../../core/request-record.ts';

/** Shared by threads: whether the one that sends rows sleeps, and has to be woken by whoever writes one. */
export type SleepFlag = Int32Array<SharedArrayBuffer>;

export function sleepFlag(): SleepFlag {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

export function setAsleep(flag: SleepFlag, isAsleep: boolean): void {
  Atomics.store(flag, 0, isAsleep ? 1 : 0);
}

/** @returns Whether it slept: of all who ask, one is told so. */
function isToBeWoken(flag: SleepFlag): boolean {
  return Atomics.load(flag, 0) === 1 && Atomics.exchange(flag, 0, 0) === 1;
}

/** A log whose rows are sent at once, whoever sends them may sleep. @param wake Called once a row is committed. */
export function waking(log: RequestLog, flag: SleepFlag, wake: () => void): RequestLog {
  return {
    append(record) {
      const appended = log.append(record);
      if (isToBeWoken(flag)) void appended.then(wake);
      return appended;
    },
    get pending() {
      return log.pending;
    },
  };
}
