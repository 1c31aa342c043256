import type { CacheCleaner } from '../../core/response-cache.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

/** Lets go of kept answers whose time is over. */
export function cacheCleanup(cache: CacheCleaner): JobType {
  return {
    name: 'cache-cleanup',
    async run({ signal, say }) {
      const { entries, bytes } = await cache.cleanup(signal);
      say(`${entries} answers went, ${bytes} bytes are free again.`);
      return { entries, bytes };
    },
    check: (settings) => checkedSettings(settings, {}),
  };
}
