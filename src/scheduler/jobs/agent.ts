import type { RunAgent } from '../../core/agent-runs.ts';
import { MizanError } from '../../core/errors.ts';
import type { JobMaker } from '../../core/jobs.ts';
import type { PostWebhook } from '../../core/webhooks.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

export interface AgentJobParts {
  readonly runAgent: RunAgent;
  readonly agents: readonly string[];
  readonly post: PostWebhook;
  /** By their names. */
  readonly webhooks: readonly string[];
  /** The agents that a maker may call now, `null` for all. @throws MizanError `forbidden` where they may nothing any more. */
  readonly agentsOf: (maker: JobMaker, tenant: string) => readonly string[] | null;
}

/** How much of an answer the history keeps, in characters. */
const maxOutput = 32_768;

/** Runs an agent with an input, and keeps what it answers. */
export function agentJob({ runAgent, agents, post, webhooks, agentsOf }: AgentJobParts): JobType {
  return {
    name: 'agent',
    async run({ job, run, signal, say, confirm }) {
      const { agent, input, webhook } = job.settings as Readonly<Record<string, string>>;
      if (agent === undefined || !agents.includes(agent)) {
        throw new MizanError('unknown_agent', `There is no agent "${agent ?? ''}".`);
      }
      await confirm();
      const { tenant, maker } = job;
      const answer = await runAgent({
        target: { agent },
        input: input ?? '',
        tenant,
        agents: maker === undefined ? null : agentsOf(maker, tenant),
        subject: `job:${job.name}`,
        signal,
      });
      say(`${answer.output.length} characters from ${answer.model ?? 'nobody'} in ${Math.round(answer.latencyMs)} ms.`);
      const { requestId, model, instance, inputTokens, outputTokens, costUsd } = answer;
      const output = {
        request_id: requestId,
        output: answer.output.slice(0, maxOutput),
        model,
        instance,
        usage: { input_tokens: inputTokens, output_tokens: outputTokens, cost_usd: costUsd },
      };
      if (webhook !== undefined) {
        await confirm();
        const message = {
          text: `${job.name}\n${output.output}`,
          data: { job: job.name, run: run.id, agent, ...output },
        };
        // The run's id: whoever gets it a second time, after a take-over, can tell.
        await post(webhook, { id: run.id, type: 'job.output', ...message }, signal);
        say(`It was posted to ${webhook}.`);
      }
      return output;
    },
    check: (settings) =>
      checkedSettings(settings, {
        agent: {
          isRequired: true,
          expected: `must be the name of an agent: ${agents.join(', ')}`,
          is: (value) => typeof value === 'string' && agents.includes(value),
        },
        input: {
          isRequired: true,
          expected: 'must be what the agent is told',
          is: (value) => typeof value === 'string' && value !== '',
        },
        webhook: {
          expected: `must be the name of a webhook${webhooks.length === 0 ? '; none is configured' : `: ${webhooks.join(', ')}`}`,
          is: (value) => typeof value === 'string' && webhooks.includes(value),
        },
      }),
  };
}
