import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { withCommonOptions } from './options.ts';
import { say } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

/** Rows that are committed at a time. */
const batchRows = 500;

/** `mizan requests import` */
export function registerImport(requests: Command): void {
  withCommonOptions(
    requests
      .command('import')
      .description('rows that a Mizan could not write, from its log on stdin back into the request log'),
  )
    .addHelpText('after', '\nRows that are there already stay as they are. Exit code 1: some lines can not be read.')
    .action(async (options: CommonOptions, command: Command) => {
      await importAll({ ...options, ...command.optsWithGlobals<CommonOptions>() });
    });
}

async function importAll(options: CommonOptions): Promise<void> {
  const { rowOf } = await import('../store/given-up.ts');
  const found = { rows: 0, damaged: 0 };
  await withStore(placeOf(options), async (store) => {
    let batch: Promise<void>[] = [];
    for await (const text of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
      const row = rowOf(text);
      if (row === null) continue;
      if (row === 'damaged') {
        found.damaged++;
        continue;
      }
      found.rows++;
      if (batch.push(store.requestLog.append(row)) < batchRows) continue;
      await Promise.all(batch);
      batch = [];
    }
    await Promise.all(batch);
    await store.settled();
  });
  say(`${found.rows} rows found; they are in the request log.`);
  if (found.damaged === 0) return;
  say(`${found.damaged} lines with a row can not be read: they were cut off, or changed.`);
  process.exitCode = 1;
}
