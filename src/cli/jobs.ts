import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { loadVaultConfig } from '../config/load.ts';
import { byOperator } from '../core/audit.ts';
import { systemClock } from '../core/clock.ts';
import type { JobRun, JobView } from '../core/jobs.ts';
import { publicJob, publicRun } from '../core/jobs.ts';
import { everyTenant } from '../core/request-record.ts';
import type { Language } from '../core/schedule-words.ts';
import { inWords, languages } from '../core/schedule-words.ts';
import { MasterKeys } from '../security/master-keys.ts';
import type { JobsService } from '../scheduler/service.ts';
import type { Store } from '../store/index.ts';
import type { CommonOptions } from './options.ts';
import { configOf, wholeNumber, withCommonOptions } from './options.ts';
import { print, say, sayError, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface ListOptions extends CommonOptions {
  readonly lang: Language;
  readonly json?: boolean;
}

interface RunOptions extends CommonOptions {
  readonly json?: boolean;
}

interface HistoryOptions extends CommonOptions {
  readonly limit: number;
  readonly json?: boolean;
}

/** How long a scheduler may take to begin a run before this command runs it itself, in ms. */
const patienceMs = 3000;

/** How many jobs are read at once. */
const pageSize = 500;

/** How often it is looked how a run does, in ms. */
const lookMs = 250;

/** `mizan jobs list|run|history|pause|resume` */
export function registerJobs(program: Command): void {
  const jobs = program.command('jobs').description('what runs by the clock');

  withCommonOptions(jobs.command('list').description('all jobs, with when they run next and how they did last'))
    .option('--lang <language>', 'of the words: en or ar', language, 'en')
    .option('--json', 'print JSON')
    .action((options: ListOptions) => list(options).catch(sayError));

  withCommonOptions(jobs.command('run').description('run a job now, and wait for its end').argument('<name>'))
    .option('--json', 'print the run as JSON when it is over')
    .addHelpText('after', '\nExit codes: 0 it succeeded, 1 it failed, 2 wrong usage or configuration.')
    .action((name: string, options: RunOptions) => run(name, options).catch(sayError));

  withCommonOptions(jobs.command('history').description('what became of them, newest first').argument('[name]'))
    .option('--limit <n>', 'at most so many', wholeNumber(1, 1000), 20)
    .option('--json', 'print JSON')
    .action((name: string | undefined, options: HistoryOptions) => history(name, options).catch(sayError));

  withCommonOptions(jobs.command('pause').description('let its due times go by').argument('<name>')).action(
    (name: string, options: CommonOptions) => pause(name, options).catch(sayError),
  );

  withCommonOptions(
    jobs.command('resume').description('run it again from its next due time').argument('<name>'),
  ).action((name: string, options: CommonOptions) => resume(name, options).catch(sayError));
}

function language(text: string): Language {
  const found = languages.find((known) => known === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of ${languages.join(', ')}.`);
  return found;
}

async function list(options: ListOptions): Promise<void> {
  await withJobs(options, async ({ jobs }) => {
    const found = await all(jobs);
    if (options.json === true)
      print(
        JSON.stringify(
          found.map((job) => publicJob(job, options.lang)),
          null,
          2,
        ),
      );
    else if (found.length === 0) say('There are no jobs.');
    else
      print(
        table(
          titles[options.lang],
          found.map((job) => row(job, options.lang)),
        ),
      );
  });
}

/** Page by page: none holds up others. */
async function all(jobs: Pick<JobsService, 'list'>): Promise<JobView[]> {
  const found: JobView[] = [];
  for (let after: string | undefined; ;) {
    const page = await jobs.list(everyTenant, { limit: pageSize, after });
    found.push(...page);
    if (page.length < pageSize) return found;
    after = page.at(-1)?.name;
  }
}

const titles: Readonly<Record<Language, readonly string[]>> = {
  en: ['JOB', 'WHEN', 'LAST', 'NEXT FIVE'],
  ar: ['المهمة', 'الموعد', 'آخر تشغيل', 'المواعيد الخمسة القادمة'],
};

const states: Readonly<Record<Language, Readonly<Record<JobRun['status'] | 'never' | 'paused', string>>>> = {
  en: {
    waiting: 'waiting',
    running: 'running',
    succeeded: 'succeeded',
    failed: 'failed',
    skipped: 'skipped',
    never: 'never',
    paused: 'paused',
  },
  ar: {
    waiting: 'تنتظر',
    running: 'تعمل',
    succeeded: 'نجحت',
    failed: 'فشلت',
    skipped: 'تُخُطّيت',
    never: 'لم تُشغَّل بعد',
    paused: 'موقوفة',
  },
};

function row(job: JobView, lang: Language): string[] {
  const { last } = job;
  const words = states[lang];
  const ended =
    last === null ? words.never : `${words[last.status]} ${shown(last.endedAt ?? last.startedAt ?? last.due)}`;
  const next = job.pausedAt === null ? job.next.map(shown).join(', ') : words.paused;
  return [job.name, inWords(job.schedule, lang), ended, next || '-'];
}

function shown(time: number): string {
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

async function run(name: string, options: RunOptions): Promise<void> {
  const config = configOf(options);
  await withJobs(options, async ({ store, jobs }) => {
    const job = await jobs.find(everyTenant, name);
    const begun = await jobs.run(job, 'operator');
    store.audit.record(byOperator({ action: 'job.run', tenant: job.tenant, target: `job:${name}` }));
    const { ended, here } = await followed(begun.id, jobs, async () => {
      say('No scheduler is running: it is run here.');
      const { runJobHere } = await import('../main.ts');
      await runJobHere(config, options.data, begun.id);
    });
    await here;
    if (options.json === true) print(JSON.stringify(publicRun(ended), null, 2));
    say(ended.status === 'succeeded' ? `${name} succeeded.` : `${name} ${ended.status}: ${ended.error ?? ''}`);
    if (ended.status !== 'succeeded') process.exitCode = 1;
  });
}

/** Says what a run says until it is over. Where nobody begins it, `begin` does. */
async function followed(
  id: string,
  jobs: JobsOfCommand['jobs'],
  begin: () => Promise<void>,
): Promise<{ readonly ended: JobRun; readonly here: Promise<void> }> {
  const deadline = performance.now() + patienceMs;
  let here: Promise<void> | null = null;
  let said = 0;
  for (;;) {
    const now = await jobs.findRun(everyTenant, id);
    const lines = now.log.slice(said);
    said = now.log.length;
    if (lines !== '') process.stderr.write(lines);
    if (now.endedAt !== null) return { ended: now, here: here ?? Promise.resolve() };
    if (now.status === 'waiting' && now.attempts === 0 && here === null && performance.now() > deadline) here = begin();
    await wait(lookMs);
  }
}

async function history(name: string | undefined, options: HistoryOptions): Promise<void> {
  await withJobs(options, async ({ jobs }) => {
    const runs = await jobs.history(everyTenant, {
      limit: options.limit,
      jobs: name === undefined ? undefined : [name],
    });
    // Runs stay when their job is removed.
    if (name !== undefined && runs.length === 0) await jobs.find(everyTenant, name);
    if (options.json === true) print(JSON.stringify(runs.map(publicRun), null, 2));
    else print(table(['DUE', 'JOB', 'STATUS', 'BY', 'TRIES', 'SECONDS', 'ID', 'RESULT'], runs.map(historyRow)));
  });
}

function historyRow(each: JobRun): string[] {
  const { startedAt, endedAt } = each;
  const seconds = startedAt === null || endedAt === null ? '-' : ((endedAt - startedAt) / 1000).toFixed(1);
  const result = each.error ?? (each.output === null ? '' : JSON.stringify(each.output).slice(0, 120));
  return [shown(each.due), each.job, each.status, each.startedBy, String(each.attempts), seconds, each.id, result];
}

async function pause(name: string, options: CommonOptions): Promise<void> {
  await withJobs(options, async ({ store, jobs }) => {
    const job = await jobs.find(everyTenant, name);
    await jobs.pause(job, 'operator');
    store.audit.record(byOperator({ action: 'job.pause', tenant: job.tenant, target: `job:${name}` }));
    say(`${name} is paused.`);
  });
}

async function resume(name: string, options: CommonOptions): Promise<void> {
  await withJobs(options, async ({ store, jobs }) => {
    const job = await jobs.find(everyTenant, name);
    await jobs.resume(job);
    store.audit.record(byOperator({ action: 'job.resume', tenant: job.tenant, target: `job:${name}` }));
    const [next] = (await jobs.find(everyTenant, name)).next;
    say(next === undefined ? `${name} is not paused.` : `${name} runs next at ${shown(next)}.`);
  });
}

interface JobsOfCommand {
  readonly store: Store;
  readonly jobs: Pick<JobsService, 'list' | 'find' | 'run' | 'findRun' | 'history' | 'pause' | 'resume'>;
}

/** Where Mizan was not started yet, the configuration's jobs are not there yet either. */
async function makeJobs(store: Store, options: CommonOptions): Promise<void> {
  if ((await store.jobs.jobs()).length > 0) return;
  const { syncConfigured } = await import('../scheduler/index.ts');
  await syncConfigured(store.jobs, configOf(options).schedule.jobs, systemClock.now());
}

async function withJobs<T>(options: CommonOptions, use: (parts: JobsOfCommand) => Promise<T>): Promise<T> {
  const { JobsService: Service } = await import('../scheduler/service.ts');
  // What tenants' jobs are given and put out is sealed.
  const { masterKey } = loadVaultConfig({ file: options.config, env: process.env });
  return withStore(
    placeOf(options),
    async (store) => {
      await makeJobs(store, options);
      const jobs = new Service({
        store: store.jobs,
        clock: systemClock,
        types: new Map(),
        timezone: 'UTC',
        mostWaiting: configOf(options).schedule.maxWaiting,
      });
      return use({ store, jobs });
    },
    new MasterKeys(masterKey, options.data),
  );
}
