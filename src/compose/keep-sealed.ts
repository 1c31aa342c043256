import type { Vault } from '../store/sqlite/vault.ts';
import type { Log } from '../telemetry/log.ts';

/** How often it is looked whether a rotation has left something to do, in ms. */
const upkeepMs = 60_000;

/** Goes on with what a rotation left to do, here or in another process, until it is aborted. */
export function keepSealed(vault: Vault, log: Log): AbortController {
  const abort = new AbortController();
  const work = (): void => {
    vault
      .upkeep(abort.signal, (row) => log.error({ event: 'sealed_row_damaged', row }))
      .catch((err: unknown) => log.error({ event: 'sealing_upkeep_failed', err }));
  };
  const timer = setInterval(work, upkeepMs).unref();
  abort.signal.addEventListener('abort', () => clearInterval(timer));
  work();
  return abort;
}
