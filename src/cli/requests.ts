import type { Command } from 'commander';
import type { RequestRecord } from '../core/request-record.ts';
import { everyTenant, publicRequest } from '../core/request-record.ts';
import { registerExport } from './requests-export.ts';
import { registerImport } from './requests-import.ts';
import { registerShow } from './requests-show.ts';
import type { CommonOptions } from './options.ts';
import { databaseUrl, name, wholeNumber, withCommonOptions } from './options.ts';
import { print, table } from './say.ts';

interface RequestsOptions extends CommonOptions {
  readonly limit: number;
  readonly agent?: string;
  readonly tenant?: string;
  readonly json?: boolean;
}

/** `mizan requests`, and `mizan requests export`, `import` and `show` */
export function registerRequests(program: Command): void {
  const requests = program.command('requests');
  registerExport(requests);
  registerImport(requests);
  registerShow(requests);
  withCommonOptions(requests.description('the newest requests, newest first'))
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1000), 10)
    .option('--agent <name>', 'only those of this agent', name)
    .option('--tenant <name>', 'only those of this tenant; default: of all', name)
    .option('--json', 'print JSON')
    .action(async (options: RequestsOptions) => {
      const { openStore } = await import('../store/index.ts');
      const store = await openStore({ folder: options.data, url: databaseUrl(options) });
      try {
        const { limit, agent } = options;
        const query = { limit, ...(agent === undefined ? {} : { agent }) };
        const records = await store.requestHistory.list(options.tenant ?? everyTenant, query);
        if (options.json === true) print(JSON.stringify(records.map(publicRequest), null, 2));
        else print(table(titles, records.map(row)));
      } finally {
        await store.close();
      }
    });
}

const titles = ['TIME', 'ID', 'AGENT', 'MODEL', 'INSTANCE', 'STATUS', 'TOKENS', 'COST USD', 'MS', 'FINISH'];

function row(record: RequestRecord): string[] {
  return [
    new Date(record.time).toISOString(),
    record.id,
    record.agent ?? '-',
    record.model ?? '-',
    record.instance ?? '-',
    record.errorCode === null ? String(record.status) : `${record.status} ${record.errorCode}`,
    `${record.inputTokens ?? '?'}+${record.outputTokens ?? '?'}`,
    record.costUsd === null ? '?' : record.costUsd.toFixed(6),
    (record.gatewayMs + record.upstreamMs).toFixed(1),
    record.finishReason ?? '-',
  ];
}
