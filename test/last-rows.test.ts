import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { logged, mizan } from './support/command.ts';
import { post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, startProcess } from './support/mizan.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Held extends RunningProcess {
  /** Lets go of the lock that keeps everybody else from writing. */
  release(): void;
  /** What the request log has, by id. */
  rows(): Record<string, unknown>[];
}

/** A Mizan whose database another process has locked since, with so many answers that went out without their rows. */
async function held(answers: number, server: object = {}): Promise<Held> {
  const running = await startProcess({
    server,
    providers: { sim: { kind: 'simulator' } },
    models: {
      words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator', price: { input: 2, output: 4 } }] },
    },
    agents: { assistant: { model: 'words' } },
    budgets: { all: { usd: 5, per: 'day' } },
  });
  onTestFinished(() => running.end());
  const token = await running.token();
  const other = new DatabaseSync(join(running.dataFolder, 'mizan.db'));
  onTestFinished(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  const metadata = { team: 'blue' };
  const asked = Array.from({ length: answers }, () =>
    post(`${running.url}/ai-process`, token, { input: 'Say hello', session: 's', metadata }),
  );
  for (const { status } of await Promise.all(asked)) expect(status).toBe(200);
  return {
    ...running,
    release: () => other.exec('ROLLBACK'),
    rows: () => other.prepare('SELECT * FROM requests ORDER BY id').all(),
  };
}

test('at the end, rows that can’t be written are tried again while there is time, and lost to nobody', async () => {
  const { process: running, url, release, rows } = await held(3);
  running.signal('SIGTERM');
  // Nobody is answered any more: all that it still does is to try.
  await vi.waitFor(() => expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed'), { timeout: 30_000 });
  release();
  const { code, stderr } = await running.ended;
  expect(code).toBe(0);
  expect(logged(stderr, 30).map(({ event }) => event)).toEqual(['request_log_failed', 'request_log_recovered']);
  expect(rows()).toHaveLength(3);
});

test('rows that can’t be written to the end are counted aloud, and can be put back from the log, once', async () => {
  const house = await held(3, { shutdownTimeoutMs: 1500 });
  house.process.signal('SIGTERM');
  const { code, stderr } = await house.process.ended;
  expect(code).toBe(1);
  expect(stderr).toContain('3 rows of the request log could not be written until the end.');
  expect(logged(stderr, 30).map(({ event }) => event)).toEqual([
    'request_log_failed',
    ...Array.from({ length: 3 }, () => 'request_log_row_dropped'),
    'shutdown_failed',
  ]);
  house.release();
  expect(house.rows()).toEqual([]);

  // As a container's log has it.
  const input = stderr.replaceAll(/^/gm, 'ai-core-1  | ');
  for (let times = 0; times < 2; times++) {
    const put = await mizan(['requests', 'import', ...commonOptions(house)], { input });
    expect([put.code, put.stderr]).toEqual([0, '3 rows found; they are in the request log.\n']);
  }
  expect(house.rows()).toHaveLength(3);
  for (const row of house.rows()) {
    expect(row).toMatchObject({ status: 200, agent: 'assistant', session: 's', tags: '{"team":"blue"}', attempts: 1 });
  }
  // What they cost is paid, once.
  const ledger = await mizan(['budgets', 'check', ...commonOptions(house)]);
  expect([ledger.code, ledger.stderr]).toEqual([0, expect.stringMatching(/3 rows/)]);
  const cut = await mizan(['requests', 'import', ...commonOptions(house)], {
    input: input.replaceAll(/\}\}\n/g, '\n'),
  });
  expect([cut.code, cut.stderr]).toEqual([1, expect.stringContaining('3 lines with a row can not be read')]);
});
