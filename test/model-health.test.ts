import { expect, onTestFinished, test } from 'vitest';
import { launch, mizan as command } from './support/command.ts';
import { ask, post } from './support/http.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';
import { startUpstream } from './support/upstream.ts';

interface Shown {
  readonly id: string;
  readonly state: string;
  readonly reason: string | null;
  readonly check: { readonly state: string; readonly source: string; readonly detail: string | null } | null;
}

test(
  'a scheduler finds that an instance doesn’t answer, and a gateway that never asked it sends nothing there',
  { timeout: 180_000 },
  async () => {
    let isWell = false;
    const answer = JSON.stringify({
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    });
    const ill = await startUpstream((request, response) => {
      response.writeHead(isWell ? 200 : 503, { 'content-type': 'application/json' });
      response.end(request.method === 'GET' ? '{"data":[]}' : answer);
    });
    const well = await startUpstream((_, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(answer),
    );
    const house = await furnish({
      server: { port: 0, metricsPort: 0 },
      providers: {
        ill: { kind: 'openai-compatible', baseUrl: `${ill.origin}/v1` },
        well: { kind: 'openai-compatible', baseUrl: `${well.origin}/v1` },
      },
      models: {
        words: {
          instances: [
            { id: 'ill', provider: 'ill', model: 'm' },
            { id: 'well', provider: 'well', model: 'm' },
          ],
        },
      },
      agents: { assistant: { model: 'words' } },
      schedule: { jobs: { 'model-health': { every: '1s' } } },
    });
    onTestFinished(() => house.remove());
    const gateway = await startProcess({}, house);
    onTestFinished(() => gateway.process.signal('SIGKILL'));
    const scheduler = launch(['scheduler', ...commonOptions(house)]);
    onTestFinished(() => scheduler.signal('SIGKILL'));
    const token = await gateway.token();
    const until = async (isSo: (instance: Shown) => boolean): Promise<Shown> => {
      for (;;) {
        const { json } = await ask(`${gateway.url}/api/instances`, { token });
        const found = (json as { instances: Shown[] }).instances.find(({ id }) => id === 'ill')!;
        if (isSo(found)) return found;
      }
    };
    expect(await until(({ state }) => state === 'ejected')).toMatchObject({
      reason: 'Found by model-health: It answered with status 503.',
      check: { state: 'down', source: 'probe', detail: 'It answered with status 503.' },
    });
    const askedBefore = ill.requests.filter(({ method }) => method === 'POST').length;
    for (let i = 0; i < 4; i++) {
      const { status, headers } = await post(`${gateway.url}/ai-process`, token, { input: 'Hi' });
      expect([status, headers.get('x-mizan-instance'), headers.get('x-mizan-attempts')]).toEqual([200, 'well', '1']);
    }
    expect(ill.requests.filter(({ method }) => method === 'POST')).toHaveLength(askedBefore);
    const metrics = (await ask(`${gateway.metricsUrl}/metrics`)).text;
    expect(metrics).toContain('mizan_instance_up{instance="ill",model="words"} 0');
    expect(metrics).toContain('mizan_instance_check_up{instance="ill",model="words"} 0');
    const listed = await command(['instances', ...commonOptions(house)]);
    expect(listed).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^words +ill +ill +down +probe /m) as string,
    });
    // It is well again: the next request that comes by is the one that finds out.
    isWell = true;
    await until(({ check }) => check?.state === 'up');
    const reached = (): number => ill.requests.filter(({ method }) => method === 'POST').length;
    while (reached() === 0) await post(`${gateway.url}/ai-process`, token, { input: 'Hi' });
    expect(await until(({ state }) => state === 'returning' || state === 'healthy')).toMatchObject({ reason: null });
    // What came of the gateway's requests reaches the scheduler.
    expect(await until(({ check }) => check?.source === 'traffic')).toMatchObject({ check: { state: 'up' } });
  },
);
