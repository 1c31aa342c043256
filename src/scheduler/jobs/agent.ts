import type { Commission, RunAgent } from '../../core/agent-runs.ts';
import { MizanError } from '../../core/errors.ts';
import type { JobMaker } from '../../core/jobs.ts';
import type { PostWebhook } from '../../core/webhooks.ts';
import type { JobContext, JobOrigin, JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

export interface AgentJobParts {
  readonly runAgent: RunAgent;
  readonly agents: readonly string[];
  readonly post: PostWebhook;
  /** By their names, whose jobs may post there. */
  readonly webhooks: Readonly<Record<string, WebhookUsers>>;
  /** What a maker may have run now. @throws MizanError `forbidden` where that is nothing any more. */
  readonly commissionOf: (maker: JobMaker, tenant: string) => Commission;
}

/** Who may post to a webhook, besides jobs of the configuration and of those who look after every tenant. */
export interface WebhookUsers {
  /** Names, or `*` for all. */
  readonly tenants: readonly string[];
}

function mayPost({ tenants }: WebhookUsers, { tenant, maker }: JobOrigin): boolean {
  return maker === undefined || maker.scope === 'any' || tenants.includes('*') || tenants.includes(tenant);
}

/** How much of an answer the history keeps, in characters. */
const maxOutput = 32_768;

/** How long what an agent is told may be, in characters. */
const maxInput = 65_536;

/** What is kept of an answer. */
interface Kept {
  readonly request_id: string;
  readonly output: string;
  readonly [more: string]: unknown;
}

function isAnswer(output: unknown): output is Kept {
  return typeof output === 'object' && output !== null && 'request_id' in output && 'output' in output;
}

/** Runs an agent with an input, and keeps what it answers. */
export function agentJob({ runAgent, agents, post, webhooks, commissionOf }: AgentJobParts): JobType {
  const webhooksOf = (origin: JobOrigin): string[] =>
    Object.entries(webhooks).flatMap(([name, users]) => (mayPost(users, origin) ? [name] : []));
  const answered = async ({ job, signal, say, confirm }: JobContext): Promise<Kept> => {
    const { agent, input } = job.settings as Readonly<Record<string, string>>;
    if (agent === undefined || !agents.includes(agent)) {
      throw new MizanError('unknown_agent', `There is no agent "${agent ?? ''}".`);
    }
    await confirm();
    const { tenant, maker } = job;
    const answer = await runAgent({
      target: { agent },
      input: input ?? '',
      tenant,
      ...(maker === undefined ? { agents: null } : commissionOf(maker, tenant)),
      subject: `job:${job.name}`,
      signal,
    });
    say(`${answer.output.length} characters from ${answer.model ?? 'nobody'} in ${Math.round(answer.latencyMs)} ms.`);
    const { requestId, model, instance, inputTokens, outputTokens, costUsd } = answer;
    return {
      request_id: requestId,
      output: answer.output.slice(0, maxOutput),
      model,
      instance,
      usage: { input_tokens: inputTokens, output_tokens: outputTokens, cost_usd: costUsd },
    };
  };
  return {
    name: 'agent',
    async run(context) {
      const { job, run, signal, say, confirm, keep } = context;
      const { agent = '', webhook } = job.settings as Readonly<Record<string, string>>;
      // Whoever might, when the job was made, may not for ever.
      if (webhook !== undefined && !webhooksOf(job).includes(webhook)) {
        throw new MizanError('forbidden', `Jobs of the tenant "${job.tenant}" may not post to a webhook "${webhook}".`);
      }
      // A try that failed only at posting has its answer: nobody pays for another.
      const output = isAnswer(run.output) ? run.output : await answered(context);
      keep(output);
      if (webhook === undefined) return output;
      await confirm();
      const data = { job: job.name, run: run.id, agent, ...output };
      // The run's id: whoever gets it a second time, after a take-over, can tell.
      await post(webhook, { id: run.id, type: 'job.output', text: `${job.name}\n${output.output}`, data }, signal);
      say(`It was posted to ${webhook}.`);
      return output;
    },
    check(settings, origin) {
      const usable = webhooksOf(origin);
      return checkedSettings(settings, {
        agent: {
          isRequired: true,
          expected: `must be the name of an agent: ${agents.join(', ')}`,
          is: (value) => typeof value === 'string' && agents.includes(value),
        },
        input: {
          isRequired: true,
          expected: `must be what the agent is told, of ${maxInput} characters at the most`,
          is: (value) => typeof value === 'string' && value !== '' && value.length <= maxInput,
        },
        webhook: {
          expected: `must be the name of a webhook${usable.length === 0 ? `; there is none for jobs of "${origin.tenant}"` : `: ${usable.join(', ')}`}`,
          is: (value) => typeof value === 'string' && usable.includes(value),
        },
      });
    },
  };
}
