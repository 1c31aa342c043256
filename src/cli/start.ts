import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { SetupError } from '../core/errors.ts';
import type { Mizan, Process } from '../main.ts';
import { boundHeapGrowth } from './heap.ts';
import type { CommonOptions } from './options.ts';
import { configOf, wholeNumber, withCommonOptions } from './options.ts';
import { say } from './say.ts';

interface StartOptions extends CommonOptions {
  readonly host?: string;
  readonly port?: number;
  readonly metricsPort?: number;
  readonly role: string;
}

/** `mizan start` */
export function registerStart(program: Command): void {
  withCommonOptions(program.command('start').description('run Mizan'))
    .option('--host <address>', 'where to listen; default: 127.0.0.1, this machine only')
    .option('--port <n>', 'for requests; default: 8000', wholeNumber(0, 65_535))
    .option('--metrics-port <n>', 'for Prometheus; default: 9000', wholeNumber(0, 65_535))
    .option('--role <role>', 'all, gateway (no jobs), or scheduler (nothing but jobs)', 'all')
    .action(start);

  withCommonOptions(program.command('scheduler').description('run the scheduled jobs alone: start --role scheduler'))
    .option('--host <address>', 'where metrics are; default: 127.0.0.1, this machine only')
    .option('--metrics-port <n>', 'for Prometheus; default: 9000, or 9001 beside a gateway', wholeNumber(0, 65_535))
    .action((options: Omit<StartOptions, 'role'>) => start({ ...options, role: 'scheduler' }));
}

async function start(options: StartOptions): Promise<void> {
  const { host, port, metricsPort, role } = options;
  if (role !== 'all' && role !== 'gateway' && role !== 'scheduler') {
    throw new SetupError(`--role must be all, gateway or scheduler, not "${role}".`);
  }
  const config = configOf(options, { host, port, metricsPort });
  const { startMizan, startScheduler } = await import('../main.ts');
  if (role === 'scheduler') {
    const scheduler = await startScheduler(config, options.data);
    endOnSignal(scheduler);
    for (const note of config.notes) say(`Note: ${note}`);
    say(`Mizan runs ${config.schedule.jobs.length} jobs, with metrics on ${scheduler.metricsUrl}/metrics`);
    boundHeapGrowth();
    return;
  }
  const mizan = await startMizan(config, options.data, { role });
  // Before it is said that Mizan listens: whoever waits for that may send the signal at once.
  endOnSignal(mizan);
  await welcome(mizan, config);
  boundHeapGrowth();
}

async function welcome(mizan: Mizan, config: Config): Promise<void> {
  for (const note of config.notes) say(`Note: ${note}`);
  const local = mizan.url.replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]');
  say(`Mizan listens on ${mizan.url}, with metrics on ${mizan.metricsUrl}/metrics`);
  say(`Answers come from ${providersOf(config)}.`);
  const token =
    process.env['NODE_ENV'] === 'production'
      ? '$(mizan token create)'
      : await mizan.tokens.sign(
          { subject: 'welcome', tenant: 'default', role: 'member', agents: null, ttl: 3600 },
          Date.now(),
        );
  say('Try it:');
  say(
    `curl -X POST ${local}/ai-process -H "Authorization: Bearer ${token}" -H "Content-Type: application/json" ` +
      `-d '{"input": "Say hello"}'`,
  );
}

/** The providers that have an instance, each with what it is. */
function providersOf(config: Config): string {
  const used = new Set(
    Object.values(config.models).flatMap((model) => model.instances.map(({ provider }) => provider)),
  );
  const described = [...used].map((name) => {
    if (config.providers[name]?.kind !== 'simulator') return name;
    return `the built-in simulator (${name}; set OPENROUTER_API_KEY for real models)`;
  });
  return described.join(', ') || 'nowhere: no model has an instance';
}

function endOnSignal(mizan: Process): void {
  let isEnding = false;
  const end = (signal: string): void => {
    if (isEnding) return;
    isEnding = true;
    say(`${signal}: finishing what runs.`);
    mizan.close().then(
      () => process.exit(0),
      (error: unknown) => {
        mizan.log.fatal({ event: 'shutdown_failed', err: error });
        say(`Mizan ends, and not well: ${error instanceof Error ? error.message : String(error)}`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
}
