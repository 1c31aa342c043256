import { once } from 'node:events';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { RequestHistory, RequestRecord } from '../core/request-record.ts';
import { publicRequest } from '../core/request-record.ts';
import type { CommonOptions } from './options.ts';
import { databaseUrl, name, withCommonOptions } from './options.ts';
import { progressLine } from './progress-line.ts';
import { say } from './say.ts';
import { stepBack } from './step-back.ts';

const formats = ['ndjson', 'csv'] as const;

interface ExportOptions extends CommonOptions {
  readonly format: (typeof formats)[number];
  readonly tenant?: string;
  readonly from?: number;
  readonly to?: number;
}

/** Rows that are read at a time: all that is ever in memory. */
const pageRows = 1000;

/** `mizan requests export` */
export function registerExport(requests: Command): void {
  withCommonOptions(requests.command('export').description('the whole request log on stdout, newest first'))
    .option('--format <format>', 'ndjson or csv', format, 'ndjson')
    .option('--tenant <name>', 'only those of this tenant; default: of all, one after the other', name)
    .option('--from <time>', 'only those from this time on: 2026-01-31T12:00:00Z', time)
    .option('--to <time>', 'only those before this time', time)
    .action(async (options: ExportOptions, command: Command) => {
      // `--data` and `--config` are options of `mizan requests`, too, which takes them first.
      await exportAll({ ...options, ...command.optsWithGlobals<ExportOptions>() });
    });
}

async function exportAll(options: ExportOptions): Promise<void> {
  stepBack();
  const { openStore } = await import('../store/index.ts');
  const { Breather, withoutHaste } = await import('../store/breather.ts');
  const store = await openStore({ folder: options.data, url: databaseUrl(options) });
  const bar = progressLine();
  const breather = new Breather(options.data, withoutHaste);
  try {
    const history = store.requestHistory;
    const tenants = options.tenant === undefined ? await history.tenants() : [options.tenant];
    let total = 0;
    if (bar.isSeen) for (const tenant of tenants) total += await history.count(tenant);
    let done = 0;
    if (options.format === 'csv') await write(`${csvColumns.join(',')}\r\n`);
    for (const tenant of tenants) {
      for await (const page of pages(history, tenant, options)) {
        await write(page.map(options.format === 'csv' ? csvLine : jsonLine).join(''));
        bar.show('export', (done += page.length), total);
        breather.rest();
      }
    }
    bar.clear();
    say(`${done} requests exported.`);
  } finally {
    breather.close();
    await store.close();
  }
}

async function* pages(
  history: RequestHistory,
  tenant: string,
  { from, to }: ExportOptions,
): AsyncGenerator<RequestRecord[]> {
  for (let before: string | undefined; ;) {
    const page = await history.list(tenant, { limit: pageRows, before, from, to });
    if (page.length > 0) yield page;
    before = page.at(-1)?.id;
    if (page.length < pageRows) return;
  }
}

/** As fast as whoever reads it. */
async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

function jsonLine(record: RequestRecord): string {
  return `${JSON.stringify(publicRequest(record))}\n`;
}

const csvColumns = [
  'id',
  'time',
  'tenant',
  'principal',
  'agent',
  'model',
  'instance',
  'provider',
  'stream',
  'status',
  'error_code',
  'error_message',
  'attempts',
  'cache',
  'input_tokens',
  'output_tokens',
  'cost_usd',
  'usage_source',
  'gateway_ms',
  'queued_ms',
  'upstream_ms',
  'first_token_ms',
  'finish_reason',
  'resumed',
  'session',
  'tags',
];

/** RFC 4180. Nothing is an empty cell. */
function csvLine(record: RequestRecord): string {
  const { usage, ...shown } = publicRequest(record);
  const { source, ...counts } = usage;
  const cells: Readonly<Record<string, unknown>> = { ...shown, ...counts, usage_source: source };
  return `${csvColumns.map((column) => cell(cells[column])).join(',')}\r\n`;
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return quoted(JSON.stringify(value));
  // Words of callers, which a spreadsheet would take for a formula.
  return quoted(/^[=+\-@\t\r]/.test(value) ? `'${value}` : value);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function format(text: string): (typeof formats)[number] {
  const found = formats.find((known) => known === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of ${formats.join(', ')}.`);
  return found;
}

function time(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new InvalidArgumentError('Expected a time such as 2026-01-31T12:00:00Z.');
  return ms;
}
