import { Worker } from 'node:worker_threads';
import { Thread } from '../thread.ts';

/**
 * Reads the whole database in `file` on a thread of its own, and says what is wrong with it; `null` where it is sound.
 * @throws MizanError where it can't be read at all.
 */
export async function findDamage(file: string, signal?: AbortSignal): Promise<string | null> {
  const thread = new Thread(
    () =>
      new Worker(new URL('./soundness.worker.ts', import.meta.url), {
        name: 'soundness',
        workerData: { file },
        resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
      }),
  );
  const stop = (): void => void thread.close();
  signal?.addEventListener('abort', stop);
  try {
    return (await thread.ask({})) as string | null;
  } finally {
    signal?.removeEventListener('abort', stop);
    await thread.close();
  }
}
