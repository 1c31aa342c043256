import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { byOperator } from '../core/audit.ts';
import { progressLine } from './progress-line.ts';
import { print, say, table } from './say.ts';
import { noteAudit, placeOf, withStore } from './with-store.ts';

interface CopyOptions extends CommonOptions {
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
  withCommonOptions(db.command('copy').description('copy everything from one database to another, and compare'))
    .requiredOption('--from <url>', 'postgres://…, or sqlite: with a file or a data folder')
    .requiredOption('--to <url>', 'likewise; rows that are there already stay')
    .addHelpText('after', '\nStop Mizan first: what it writes meanwhile is not copied.')
    .action(copy);
}

async function rebuildSums(options: CommonOptions): Promise<void> {
  await withStore(placeOf(options), async (store) => {
    await store.rebuildSums();
    store.audit.record(byOperator({ action: 'db.rebuild-sums', tenant: 'system', target: null }));
  });
  say('All sums are those of the log.');
}

async function copy({ from, to, data }: CopyOptions): Promise<void> {
  const { copyDatabase, foldersOf, shownEnd } = await import('../store/copy/index.ts');
  const bar = progressLine();
  const copied = await copyDatabase({ from, to }, ({ table: name, step, done, total }) =>
    bar.show(`${step} ${name}`, done, total),
  ).finally(() => bar.clear());
  const isSame = copied.every((one) => one.isSame);
  const folders = foldersOf([from, to]);
  for (const folder of folders.length > 0 ? folders : [data]) {
    await noteAudit(folder, {
      action: 'db.copy',
      target: shownEnd(to),
      outcome: isSame ? 'done' : 'failed',
      before: { from: shownEnd(from) },
      after: { rows: Object.fromEntries(copied.map(({ name, rows }) => [name, rows])) },
    });
  }
  const rows = copied.map((one) => [one.name, String(one.rows), one.isSame ? 'same' : 'DIFFERS']);
  print(table(['TABLE', 'ROWS', 'COMPARED'], rows));
  if (!isSame) process.exitCode = 1;
}

async function clean(options: CommonOptions): Promise<void> {
  const { retention } = configOf(options);
  await withStore(placeOf(options), async (store) => {
    const bar = progressLine();
    const removed = await store
      .removeOld(retention, undefined, (done, total) => bar.show('removing', done, total))
      .finally(() => bar.clear());
    const { requests, payloads, rollups, freedBytes } = removed;
    store.audit.record(byOperator({ action: 'db.clean', tenant: 'system', target: null, after: removed }));
    const unit = store.state().engine === 'postgres' ? 'days' : 'rows';
    const freed = freedBytes === null ? '' : ` The file is ${(freedBytes / 2 ** 20).toFixed(1)} MiB smaller.`;
    say(`Removed: ${requests} ${unit} of the log, ${payloads} ${unit} of payloads, ${rollups} sums.${freed}`);
  });
}
