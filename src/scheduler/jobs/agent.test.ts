import { expect, test } from 'vitest';
import type { AgentAnswer } from '../../core/agent-runs.ts';
import { MizanError } from '../../core/errors.ts';
import type { JobContext } from '../contract.ts';
import { agentJob } from './agent.ts';

const answer: AgentAnswer = {
  requestId: 'req_1',
  output: 'All is well.',
  model: 'words',
  instance: 'a',
  inputTokens: 1,
  outputTokens: 3,
  costUsd: null,
  latencyMs: 12,
};

test('a try after one whose answer could not be posted posts that answer, and asks for no other', async () => {
  let asked = 0;
  const posted: unknown[] = [];
  const job = agentJob({
    runAgent: async () => {
      asked++;
      return answer;
    },
    agents: ['assistant'],
    webhooks: { team: { tenants: [] } },
    commissionOf: () => ({ agents: null }),
    post: async (_name, { data }) => {
      posted.push(data['output']);
      if (posted.length === 1) throw new MizanError('upstream_error', 'The webhook "team" answered 500.');
    },
  });
  let kept: unknown = null;
  const once = (): Promise<unknown> =>
    job.run({
      job: { name: 'report', tenant: 'acme', settings: { agent: 'assistant', input: 'Hi', webhook: 'team' } },
      run: { id: 'run_1', output: kept },
      signal: new AbortController().signal,
      say: () => {},
      confirm: async () => {},
      keep: (output: unknown) => void (kept = output),
    } as unknown as JobContext);
  await expect(once()).rejects.toThrow('answered 500');
  expect(kept).toMatchObject({ request_id: 'req_1', output: 'All is well.' });
  expect(await once()).toEqual(kept);
  expect([asked, posted]).toEqual([1, ['All is well.', 'All is well.']]);
});

test('whose webhook it is, is looked at again before the agent is asked', async () => {
  const asked: string[] = [];
  const posted: string[] = [];
  const webhooks: Record<string, { tenants: string[] }> = { team: { tenants: ['acme'] }, open: { tenants: ['*'] } };
  const job = agentJob({
    runAgent: async ({ subject }) => {
      asked.push(subject);
      return answer;
    },
    agents: ['assistant'],
    webhooks,
    commissionOf: () => ({ agents: null }),
    post: async (name) => void posted.push(name),
  });
  const maker = { subject: 'ada', agents: null, scope: 'own', via: 'token', credential: null, at: 0 } as const;
  const run = (tenant: string, webhook: string, by: object | undefined): Promise<unknown> =>
    job.run({
      job: { name: 'report', tenant, maker: by, settings: { agent: 'assistant', input: 'Hi', webhook } },
      run: { id: 'run_1', output: null },
      signal: new AbortController().signal,
      say: () => {},
      confirm: async () => {},
      keep: () => {},
    } as unknown as JobContext);
  await run('acme', 'team', maker);
  await run('globex', 'open', maker);
  // The configuration's, and those of whoever looks after every tenant.
  await run('globex', 'team', undefined);
  await run('globex', 'team', { ...maker, scope: 'any' });
  expect(posted).toEqual(['team', 'open', 'team', 'team']);
  webhooks['team'] = { tenants: [] };
  await expect(run('acme', 'team', maker)).rejects.toMatchObject({ code: 'forbidden' });
  await expect(run('globex', 'gone', maker)).rejects.toMatchObject({ code: 'forbidden' });
  expect(asked).toHaveLength(4);
});
