/** A flag that threads share: seen at once, also by one that is busy. */
export type StopFlag = Int32Array<SharedArrayBuffer>;

/** Raised as soon as `signal` says so. */
export function stopFlag(signal: AbortSignal | undefined): StopFlag {
  const flag = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const raise = (): void => void Atomics.store(flag, 0, 1);
  if (signal?.aborted === true) raise();
  signal?.addEventListener('abort', raise, { once: true });
  return flag;
}

export function isRaised(flag: StopFlag): boolean {
  return Atomics.load(flag, 0) === 1;
}
