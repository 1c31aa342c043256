import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mizan as command } from './support/command.ts';
import { ask, errorOf, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';
import { launch } from './support/command.ts';

const config = {
  providers: { sim: { kind: 'simulator' } },
  models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
  agents: { assistant: { model: 'words' } },
  schedule: {
    timezone: 'Asia/Riyadh',
    jobs: {
      backup: { keep: 2 },
      tick: { type: 'cache-cleanup', every: '1s', overlap: 'allow' },
      'model-health': { enabled: false },
    },
  },
};

interface Shown {
  readonly name: string;
  readonly source: string;
  readonly in_words: string;
  readonly next: readonly string[];
  readonly last: { readonly status: string; readonly log: string } | null;
}

interface ShownRun {
  readonly id: string;
  readonly status: string;
  readonly due: string;
  readonly started_by: string;
  readonly output: unknown;
}

describe('jobs', () => {
  let mizan: RunningProcess;
  let admin: string;
  let viewer: string;

  beforeAll(async () => {
    mizan = await startProcess(config, undefined, 'all');
    admin = await mizan.token({ role: 'admin', subject: 'ada', scope: 'any' });
    viewer = await mizan.token({ role: 'viewer' });
  });

  afterAll(() => mizan.end());

  const get = async <T>(path: string, token = viewer): Promise<T> =>
    (await ask(`${mizan.url}${path}`, { token })).json as T;

  /** Asks until it is so. */
  async function until<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
    for (;;) {
      const seen = await look();
      if (isSo(seen)) return seen;
    }
  }

  test('built in and configured ones are listed with their schedules in words and what comes next', async () => {
    const { jobs } = await until(
      () => get<{ jobs: Shown[] }>('/api/jobs'),
      (seen) => seen.jobs.length === 4,
    );
    expect(jobs.map(({ name, source, in_words: words, next }) => [name, source, words, next.length])).toEqual([
      ['backup', 'config', 'every Sunday at 03:00 (Asia/Riyadh)', 5],
      ['cache-cleanup', 'config', 'every hour, on the hour (Asia/Riyadh)', 5],
      ['retention', 'config', 'every hour, at minute 30 (Asia/Riyadh)', 5],
      ['tick', 'config', 'every second', 5],
    ]);
    const arabic = await get<{ jobs: Shown[] }>('/api/jobs?language=ar');
    expect(arabic.jobs[0]?.in_words).toBe('كل يوم أحد الساعة 03:00 (Asia/Riyadh)');
  });

  test('run on time, each due time once, and say so in the history and the metrics', async () => {
    const { runs } = await until(
      () => get<{ runs: ShownRun[] }>('/api/jobs/tick/runs?status=succeeded'),
      (seen) => seen.runs.length >= 3,
    );
    const dues = runs.map(({ due }) => Date.parse(due)).toSorted((a, b) => b - a);
    expect(dues).toEqual(dues.map((_, i) => dues[0]! - i * 1000));
    const metrics = (await ask(`${mizan.metricsUrl}/metrics`)).text;
    expect(metrics).toMatch(/mizan_job_runs_total\{job="tick",status="succeeded"\} (?:[3-9]|\d\d)/);
    expect(metrics).toMatch(/mizan_job_last_success_timestamp_seconds\{job="tick"\} \d{10}/);
  });

  test('a backup that is asked for runs, is kept, and is in the audit log', async () => {
    const answer = await post(`${mizan.url}/api/jobs/backup/run`, admin, {});
    expect(answer.status).toBe(202);
    const { id } = answer.json as ShownRun;
    const run = await until(
      () => get<ShownRun>(`/api/job-runs/${id}`, admin),
      (seen) => seen.status === 'succeeded' || seen.status === 'failed',
    );
    expect(run).toMatchObject({ status: 'succeeded', started_by: 'ada', output: { removed: [] } });
    const { backups } = await get<{ backups: unknown[] }>('/api/backups', admin);
    expect(backups).toHaveLength(1);
    const audit = await get<{ entries: { action: string; target: string }[] }>('/api/audit?tenant=*', admin);
    expect(JSON.stringify(audit)).toContain('"job.run"');
  });

  test('those of the configuration can be paused and not removed, and those made over the API can', async () => {
    const paused = await post(`${mizan.url}/api/jobs/retention/pause`, admin, {});
    expect(paused.json).toMatchObject({ paused_by: 'ada', next: [] });
    expect((await post(`${mizan.url}/api/jobs/retention/resume`, admin, {})).json).toMatchObject({
      paused_by: null,
    });
    const refused = await ask(`${mizan.url}/api/jobs/retention`, { method: 'DELETE', token: admin });
    expect(errorOf(refused.json).code).toBe('job_of_config');
    const order = { name: 'nightly', type: 'cache-cleanup', cron: '0 1 * * *', timeout: '5m', retries: 0, jitter: 30 };
    expect(await post(`${mizan.url}/api/jobs`, admin, order)).toMatchObject({
      status: 201,
      json: { timeout_s: 300, retries: 0, jitter_s: 30 },
    });
    expect(errorOf((await post(`${mizan.url}/api/jobs`, admin, order)).json).code).toBe('job_exists');
    expect((await ask(`${mizan.url}/api/jobs/nightly`, { method: 'DELETE', token: admin })).status).toBe(200);
    expect((await ask(`${mizan.url}/api/jobs/nightly`, { token: viewer })).status).toBe(404);
  });

  test.each<[object, string, string]>([
    [{ name: 'x', type: 'cache-cleanup', cron: '0 0 30 2 *' }, 'cron', 'never does'],
    [{ name: 'x', type: 'cache-cleanup', cron: '* * * *' }, 'cron', 'five fields'],
    [{ name: 'x', type: 'cache-cleanup', every: '500ms' }, 'every', 'from a second to 366 days'],
    [{ name: 'x', type: 'cache-cleanup', every: '999999999d' }, 'every', 'from a second to 366 days'],
    [{ name: 'x', type: 'cache-cleanup', at: 'soon' }, 'at', '2026-12-24T18:00'],
    [{ name: 'x', type: 'cache-cleanup', at: '2001-01-01' }, 'at', 'in the future'],
    [{ name: 'x', type: 'cache-cleanup' }, 'cron', 'One of cron, every and at'],
    [{ name: 'x', type: 'cache-cleanup', every: '1h', at: '2099-01-01' }, 'cron', 'One of cron, every and at'],
    [{ name: 'x', type: 'cache-cleanup', every: '1h', timezone: 'Mars' }, 'timezone', 'Asia/Riyadh'],
    [
      { name: 'x', type: 'cache-cleanup', every: '1h', timezone: 'Asia/Ryadh' },
      'timezone',
      'Did you mean "Asia/Riyadh"?',
    ],
    [{ name: 'x', type: 'cache-cleanup', every: '1h', timeout: '30d' }, 'timeout', 'from a second to 20 days'],
    [{ name: 'x', type: 'cache-cleanup', every: '1h', retries: 21 }, 'retries', 'from 0 to 20'],
    [{ name: 'x', type: 'key-rotation', every: '1h', settings: { purpose: 'nonsense' } }, 'purpose', 'session'],
    [{ name: 'x', type: 'cache-cleanup', cron: '0 5 30 2 *' }, 'cron', '"0 5 L 2 *" does'],
    [{ name: 'x', type: 'nothing', every: '1h' }, 'type', 'must be one of'],
    [{ name: '-', type: 'cache-cleanup', every: '1h' }, 'name', 'letters'],
    [{ name: 'x', type: 'backup', every: '1h', settings: { keep: 0 } }, 'keep', '1 to 10000'],
    [{ name: 'x', type: 'backup', every: '1h', settings: { kepe: 1 } }, 'kepe', 'Did you mean "keep"?'],
    [{ name: 'x', evry: '1h' }, 'evry', 'Did you mean "every"?'],
  ])('%j is refused, with the reason', async (order, param, words) => {
    const answer = await post(`${mizan.url}/api/jobs`, admin, order);
    expect(answer.status).toBe(400);
    expect(errorOf(answer.json)).toMatchObject({ code: 'invalid_request', param });
    expect(errorOf(answer.json).message).toContain(words);
  });

  test('what keeps Mizan going is its admins’ to touch, and a job that isn’t there has a near name', async () => {
    const operator = await mizan.token({ role: 'operator' });
    expect((await post(`${mizan.url}/api/jobs/backup/run`, operator, {})).status).toBe(403);
    const order = { name: 'x', type: 'backup', every: '1h' };
    expect((await post(`${mizan.url}/api/jobs`, operator, order)).status).toBe(403);
    const missing = await post(`${mizan.url}/api/jobs/bakcup/run`, admin, {});
    expect(errorOf(missing.json).message).toContain('Did you mean "backup"?');
  });

  test('are run and listed by commands beside it', { timeout: 240_000 }, async () => {
    const options = commonOptions(mizan);
    const ran = await command(['jobs', 'run', 'backup', '--json', ...options]);
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining('backup succeeded.') as string });
    expect(ran.stderr).toContain('restored and compared');
    expect(JSON.parse(ran.stdout)).toMatchObject({ status: 'succeeded', started_by: 'operator' });
    const list = await command(['jobs', 'list', ...options]);
    expect(list.stdout).toMatch(/^backup +every Sunday at 03:00 \(Asia\/Riyadh\) +succeeded /m);
    const paused = await command(['jobs', 'pause', 'tick', ...options]);
    expect(paused).toMatchObject({ code: 0, stderr: 'tick is paused.\n' });
    expect((await command(['jobs', 'list', ...options])).stdout).toMatch(/^tick .* paused$/m);
    expect((await command(['jobs', 'resume', 'tick', ...options])).code).toBe(0);
    const history = await command(['jobs', 'history', 'backup', '--json', ...options]);
    expect(JSON.parse(history.stdout)).toHaveLength(2);
    expect((await command(['jobs', 'run', 'nothing', ...options])).code).toBe(1);
  });
});

test(
  'a gateway and a scheduler run beside each other on the same data, and only one of them runs jobs',
  { timeout: 240_000 },
  async () => {
    const house = await furnish({ ...config, server: { port: 0, metricsPort: 0 } });
    onTestFinished(() => house.remove());
    const gateway = launch(['start', '--role', 'gateway', ...commonOptions(house)]);
    onTestFinished(() => gateway.signal('SIGKILL'));
    await gateway.said(/listens on/);
    const scheduler = launch(['scheduler', ...commonOptions(house)]);
    onTestFinished(() => scheduler.signal('SIGKILL'));
    const [, metricsUrl = ''] = await scheduler.said(/runs 4 jobs, with metrics on (\S+)\/metrics/);
    let text = '';
    while (!/mizan_job_runs_total\{job="tick",status="succeeded"\} [2-9]/.test(text)) {
      text = (await ask(`${metricsUrl}/metrics`)).text;
    }
    scheduler.signal('SIGTERM');
    expect((await scheduler.ended).code).toBe(0);
    // Nobody is there any more: the command runs it itself.
    const ran = await command(['jobs', 'run', 'backup', ...commonOptions(house)]);
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining('No scheduler is running') as string });
  },
);
