/** How far something is that another thread does: how much is done, and of how much. */
export type SharedProgress = Float64Array<SharedArrayBuffer>;

/** How often whoever watches is told, in ms. */
const everyMs = 1000;

/** Tells `onProgress` how far `work` is, for as long as it takes. `work` notes it in what it is given. */
export async function watched<T>(
  onProgress: ((done: number, total: number) => void) | undefined,
  work: (progress: SharedProgress) => Promise<T>,
): Promise<T> {
  const progress: SharedProgress = new Float64Array(new SharedArrayBuffer(2 * Float64Array.BYTES_PER_ELEMENT));
  const tell = (): void => {
    const [done = 0, total = 0] = progress;
    if (total > 0) onProgress?.(done, total);
  };
  const timer = onProgress === undefined ? undefined : setInterval(tell, everyMs).unref();
  try {
    return await work(progress);
  } finally {
    clearInterval(timer);
  }
}
