import type { Command } from 'commander';
import { publicPayload } from '../core/payload.ts';
import { everyTenant, publicRequest } from '../core/request-record.ts';
import { MasterKeys } from '../security/master-keys.ts';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { print, say } from './say.ts';
import { withStore } from './with-store.ts';

/** `mizan requests show ID` */
export function registerShow(requests: Command): void {
  withCommonOptions(requests.command('show').description('one request in JSON, with its attempts and what was said'))
    .argument('<id>', 'req_…')
    .action(async (id: string, given: CommonOptions, command: Command) => {
      // `--data` and `--config` are options of `mizan requests`, too, which takes them first.
      await show(id, { ...given, ...command.optsWithGlobals<CommonOptions>() });
    });
}

async function show(id: string, options: CommonOptions): Promise<void> {
  const { database, security } = configOf(options);
  const masterKeys = new MasterKeys(security.masterKey, options.data);
  const at = { folder: options.data, url: database.url?.reveal() ?? null };
  const shown = await withStore(
    at,
    async ({ requestHistory, payloadHistory }) => {
      const record = await requestHistory.find(everyTenant, id);
      if (record === undefined) return null;
      const payload = await payloadHistory.find(record.tenant, id);
      return { ...publicRequest(record), payload: payload === undefined ? null : publicPayload(payload) };
    },
    masterKeys,
  );
  if (shown === null) {
    say(`There is no request ${id.slice(0, 40)}.`);
    process.exitCode = 1;
  } else print(JSON.stringify(shown, null, 2));
}
