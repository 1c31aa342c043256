import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { mizan as command } from './support/command.ts';
import { commonOptions, furnish } from './support/mizan.ts';
import { startUpstream } from './support/upstream.ts';

/** A webhook, and what came to it. */
async function webhook(statuses: number[] = []) {
  const came: { headers: IncomingHttpHeaders; body: Record<string, unknown> }[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      came.push({ headers: request.headers, body: JSON.parse(text) as Record<string, unknown> });
      response.writeHead(statuses.shift() ?? 200).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { came, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

const house = {
  providers: { sim: { kind: 'simulator' } },
  models: { words: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] }, none: { instances: [] } },
  agents: { assistant: { model: 'words' }, helpless: { model: 'none' } },
  egress: { allow: ['127.0.0.1'] },
};

const agent = { type: 'agent', every: '1d', input: 'What is new?' };

test(
  'an agent runs by the clock, as a request like any other, and its answer is kept and posted',
  { timeout: 90_000 },
  async () => {
    const { came, url } = await webhook();
    const at = await furnish({
      ...house,
      schedule: {
        jobs: { report: { ...agent, agent: 'assistant', webhook: 'team' } },
        webhooks: { team: { url, secret: 'a secret of ours' } },
      },
    });
    onTestFinished(() => at.remove());
    // The first start makes the jobs; nobody else runs them.
    const seeded = await command(['jobs', 'run', 'report', ...commonOptions(at)]);
    expect(seeded).toMatchObject({ code: 0 });
    expect(came).toHaveLength(1);
    expect(came[0]?.headers['webhook-signature']).toMatch(/^v1,/);
    const history = JSON.parse(
      (await command(['jobs', 'history', 'report', '--json', ...commonOptions(at)])).stdout,
    ) as {
      id: string;
      output: { output: string; request_id: string };
    }[];
    expect(came[0]?.headers['webhook-id']).toBe(history[0]?.id);
    expect(came[0]?.body).toMatchObject({ type: 'job.output', data: { output: history[0]?.output.output } });
    const requests = await command(['requests', '--json', ...commonOptions(at)]);
    expect(JSON.parse(requests.stdout)).toMatchObject([
      {
        id: history[0]?.output.request_id,
        principal: 'job:report',
        tenant: 'default',
        agent: 'assistant',
        status: 200,
      },
    ]);
  },
);

test('a failure is told to a webhook, in a text that Slack shows', { timeout: 90_000 }, async () => {
  const { came, url } = await webhook();
  const at = await furnish({
    ...house,
    schedule: {
      jobs: { report: { ...agent, agent: 'helpless', retries: 0 } },
      webhooks: { team: { url, format: 'slack' } },
      notify: { webhooks: ['team'] },
    },
  });
  onTestFinished(() => at.remove());
  const ran = await command(['jobs', 'run', 'report', ...commonOptions(at)]);
  expect(ran).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('has no instance that could answer') as string,
  });
  expect(came.map(({ body }) => body)).toEqual([
    { text: 'Job report failed: The model "none" has no instance that could answer.' },
  ]);
});

test('an answer that a webhook refused for good is kept beside the error', { timeout: 240_000 }, async () => {
  const { came, url } = await webhook([400]);
  const at = await furnish({
    ...house,
    schedule: {
      jobs: { report: { ...agent, agent: 'assistant', webhook: 'team', retryAfter: '1s' } },
      webhooks: { team: { url } },
    },
  });
  onTestFinished(() => at.remove());
  const ran = await command(['jobs', 'run', 'report', '--json', ...commonOptions(at)]);
  const run = JSON.parse(ran.stdout) as { log: string; output: { output: string } };
  expect(run).toMatchObject({ status: 'failed', attempts: 1, error: 'The webhook "team" answered 400.' });
  expect(came.map(({ body }) => body)).toMatchObject([{ data: { output: run.output.output } }]);
  expect(run.log.match(/characters from/g)).toHaveLength(1);
});

test(
  'why an agent’s job failed says nothing of what it was told, whatever the upstream says',
  { timeout: 90_000 },
  async () => {
    const { came, url } = await webhook();
    const input = 'Our margins are 31 percent';
    const upstream = await startUpstream((_, response) =>
      response
        .writeHead(400, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: { message: `I can't read "${input}"`, type: 'invalid_request_error' } })),
    );
    const at = await furnish({
      ...house,
      providers: { local: { kind: 'openai-compatible', baseUrl: `${upstream.origin}/v1` } },
      models: { words: { instances: [{ id: 'a', provider: 'local', model: 'any' }] } },
      agents: { assistant: { model: 'words' } },
      schedule: {
        jobs: { report: { ...agent, agent: 'assistant', input, retries: 0 } },
        webhooks: { team: { url, format: 'slack' } },
        notify: { webhooks: ['team'] },
      },
    });
    onTestFinished(() => at.remove());
    const ran = await command(['jobs', 'run', 'report', '--json', ...commonOptions(at)]);
    expect(upstream.requests).toHaveLength(1);
    expect(ran.code).toBe(1);
    const { error } = JSON.parse(ran.stdout) as { error: string };
    expect(error).toMatch(
      /^The model did not answer \(upstream_rejected\); the request req_\w+ in the log says why\.$/,
    );
    expect(came.map(({ body }) => body)).toEqual([{ text: `Job report failed: ${error}` }]);
    expect(ran.stderr).not.toContain(input);
  },
);
