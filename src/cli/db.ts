import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { configOf, databaseUrl, withCommonOptions } from './options.ts';
import { progressLine } from './progress-line.ts';
import { print, say, table } from './say.ts';

interface CopyOptions {
  readonly from: string;
  readonly to: string;
}

/** `mizan db clean|rebuild-sums|copy` */
export function registerDb(program: Command): void {
  const db = program.command('db').description('look after the database');
  withCommonOptions(db.command('clean').description('remove what is older than it is kept, now')).action(clean);
  withCommonOptions(
    db.command('rebuild-sums').description('make the sums behind GET /api/overview anew from the request log'),
  ).action(rebuildSums);
  db.command('copy')
    .description('copy everything from one database to another, and compare')
    .requiredOption('--from <url>', 'postgres://…, or sqlite: with a file or a data folder')
    .requiredOption('--to <url>', 'likewise; rows that are there already stay')
    .addHelpText('after', '\nStop Mizan first: what it writes meanwhile is not copied.')
    .action(copy);
}

async function rebuildSums(options: CommonOptions): Promise<void> {
  const { openStore } = await import('../store/index.ts');
  const store = await openStore({ folder: options.data, url: databaseUrl(options) });
  try {
    await store.rebuildSums();
    say('All sums are those of the log.');
  } finally {
    await store.close();
  }
}

async function copy(urls: CopyOptions): Promise<void> {
  const { copyDatabase } = await import('../store/copy/index.ts');
  const bar = progressLine();
  const copied = await copyDatabase(urls, ({ table: name, step, done, total }) =>
    bar.show(`${step} ${name}`, done, total),
  );
  bar.clear();
  const rows = copied.map(({ name, rows: count, isSame }) => [name, String(count), isSame ? 'same' : 'DIFFERS']);
  print(table(['TABLE', 'ROWS', 'COMPARED'], rows));
  if (copied.some(({ isSame }) => !isSame)) process.exitCode = 1;
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
