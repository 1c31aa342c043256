import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { say } from './say.ts';

/** `mizan db clean` */
export function registerDb(program: Command): void {
  const db = program.command('db').description('look after the database');
  withCommonOptions(db.command('clean').description('remove what is older than it is kept, now')).action(clean);
}

async function clean(options: CommonOptions): Promise<void> {
  const { database, retention } = configOf(options);
  const { openStore } = await import('../store/index.ts');
  const store = await openStore({ folder: options.data, url: database.url?.reveal() ?? null });
  try {
    const { requests, payloads, rollups, freedBytes } = await store.removeOld(retention);
    const unit = store.state().engine === 'postgres' ? 'days' : 'rows';
    const freed = freedBytes === null ? '' : ` The file is ${(freedBytes / 2 ** 20).toFixed(1)} MiB smaller.`;
    say(`Removed: ${requests} ${unit} of the log, ${payloads} ${unit} of payloads, ${rollups} sums.${freed}`);
  } finally {
    await store.close();
  }
}
