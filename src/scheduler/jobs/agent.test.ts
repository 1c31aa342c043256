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
    webhooks: ['team'],
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
