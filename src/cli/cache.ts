import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { configOf, name, tenant, withCommonOptions } from './options.ts';
import { print, say } from './say.ts';

interface CacheOptions extends CommonOptions {
  readonly url?: string;
  readonly tenant?: string;
  readonly json?: boolean;
}

interface PurgeOptions extends CacheOptions {
  readonly agent?: string;
  readonly model?: string;
}

/** As `GET` and `DELETE /api/cache` answer. */
interface Amount {
  readonly entries: number;
  readonly bytes: number;
  /** Whether all of it is gone; only where something was to be removed. */
  readonly complete?: boolean;
}

/** `mizan cache stats|purge` */
export function registerCache(program: Command): void {
  const cache = program.command('cache').description('the answers that a running Mizan keeps');
  const withPlace = (command: Command): Command =>
    withCommonOptions(command)
      .option('--url <url>', 'where Mizan runs; default: host and port of the configuration')
      .option('--tenant <name>', "only this tenant's; default: of all", tenant)
      .option('--json', 'print JSON');

  withPlace(cache.command('stats').description('how many there are in its memory, and what they take')).action(
    async (options: CacheOptions) => show(await ask('GET', options, {}), options, 'Kept'),
  );
  withPlace(cache.command('purge').description('remove them: from its memory, from Redis and from all who share that'))
    .option('--agent <name>', "only this agent's", name)
    .option('--model <name>', "only this model's", name)
    .action(async (options: PurgeOptions) => {
      const { agent, model } = options;
      show(await ask('DELETE', options, { agent, model }), options, 'Removed');
    });
}

function show(amount: Amount | null, { json }: CacheOptions, did: string): void {
  if (amount?.complete === false) {
    process.exitCode = 1;
    say(
      'Redis can not be reached: it is not done there, and will be as soon as it can. Until then others may still give it.',
    );
  }
  if (amount === null) process.exitCode = 1;
  else if (json === true) print(JSON.stringify(amount, null, 2));
  else print(`${did}: ${amount.entries} answers, ${(amount.bytes / 2 ** 20).toFixed(1)} MiB.`);
}

/** Memory belongs to the process that runs, so it is asked, with a token that is good for a minute. */
async function ask(
  method: 'GET' | 'DELETE',
  options: CacheOptions,
  selection: Readonly<Record<string, string | undefined>>,
): Promise<Amount | null> {
  const { createTokens } = await import('../security/create-tokens.ts');
  const config = configOf(options);
  const grant = { subject: 'cli', tenant: 'default', role: 'operator', agents: null, models: null } as const;
  const token = await createTokens(config, options.data).sign({ ...grant, scope: 'any', ttl: 60 }, Date.now());
  const { port } = config.server;
  const host = config.server.host.replace(/^0\.0\.0\.0$/, '127.0.0.1').replace(/^::$/, '::1');
  const shown = host.includes(':') ? `[${host}]` : host;
  const base = options.url ?? `http://${shown}:${port}`;
  const given = Object.entries({ tenant: options.tenant ?? '*', ...selection });
  const query = new URLSearchParams(given.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
  const { guardedFetch } = await import('../egress/fetch.ts');
  const { EgressGuard } = await import('../egress/guard.ts');
  try {
    const { status, body } = await guardedFetch(new EgressGuard())({
      url: `${base}/api/cache?${query.toString()}`,
      method,
      headers: { authorization: `Bearer ${token}` },
      namedBy: 'config',
      maxBytes: 65_536,
      deadlineMs: 30_000,
    });
    const answer = JSON.parse(body.toString()) as Amount & { readonly error?: { readonly message: string } };
    if (status < 300) return answer;
    say(`${base} answered ${status}: ${answer.error?.message ?? ''}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    say(`There is no Mizan at ${base} (${reason}); give --url where it runs elsewhere.`);
  }
  return null;
}
