import type { CacheCleaner } from '../../core/response-cache.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

/** Lets go of kept answers whose time is over. @param cache `null` where this process keeps none. */
export function cacheCleanup(cache: CacheCleaner | null): JobType {
  return {
    name: 'cache-cleanup',
    async run({ signal, say }) {
      if (cache === null) {
        say('There is no cache: nothing to clean.');
        return { entries: 0, bytes: 0, cache: 'none' };
      }
      const { entries, bytes } = await cache.cleanup(signal);
      say(`${entries} answers went, ${bytes} bytes are free again.`);
      return { entries, bytes };
    },
    check: (settings) => checkedSettings(settings, {}),
  };
}
