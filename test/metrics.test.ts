import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { fails, says, startUpstream } from './support/model-service.ts';

let upstream: Upstream;
let mizan: Running;
let token: string;

beforeAll(async () => {
  upstream = await startUpstream({ words: says('Hello', ' there'), free: says('Free'), broken: fails(500) });
  const instance = (model: string) => ({ instances: [{ id: `${model}-1`, provider: 'mock', model }] });
  const prices = { words: { input: 2, output: 10 } };
  mizan = await runMizan({
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, prices },
      sim: { kind: 'simulator' },
    },
    models: { words: instance('words'), free: instance('free'), broken: instance('broken'), nowhere: {} },
    agents: { assistant: { model: 'words' }, free: { model: 'free' } },
  });
  token = await mizan.token();
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const run = (body: object, by = token) => post(`${mizan.url}/ai-process`, by, body);
const chat = (body: object, by = token) =>
  post(`${mizan.url}/v1/chat/completions`, by, { messages: [{ role: 'user', content: 'Hi' }], ...body });

describe('GET /metrics', () => {
  /** All samples: name with labels → value. */
  async function samples(): Promise<Map<string, number>> {
    const { text } = await ask(`${mizan.metricsUrl}/metrics`);
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
    );
  }

  test('has every name of the contract that has something to count', async () => {
    await run({ input: 'x', stream: true });
    const text = [...(await samples()).keys()].join('\n');
    for (const name of [
      'mizan_requests_total',
      'mizan_request_duration_seconds_bucket',
      'mizan_overhead_seconds_bucket',
      'mizan_upstream_duration_seconds_bucket',
      'mizan_time_to_first_token_seconds_bucket',
      'mizan_tokens_total',
      'mizan_cost_usd_total',
      'mizan_requests_in_flight',
      'mizan_attempts_total',
      'mizan_instance_up',
      'mizan_rows_pending',
      'mizan_payloads_pending',
      'mizan_payloads_dropped_total',
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_seconds',
    ]) {
      expect(text).toMatch(new RegExp(`^${name}(\\{|$)`, 'm'));
    }
  });

  test('counts a request, its attempt, its tokens and its cost', async () => {
    const counted = {
      'mizan_requests_total{agent="assistant",model="words",instance="words-1",status="200"}': 1,
      'mizan_request_duration_seconds_count{agent="assistant",model="words"}': 1,
      'mizan_attempts_total{instance="words-1",model="words",outcome="ok"}': 1,
      'mizan_tokens_total{agent="assistant",model="words",direction="input"}': 7,
      'mizan_tokens_total{agent="assistant",model="words",direction="output"}': 3,
      'mizan_cost_usd_total{agent="assistant",model="words"}': 0.000044,
    };
    const before = await samples();
    await run({ input: 'x' });
    const after = await samples();
    for (const [name, more] of Object.entries(counted)) {
      expect([name, (after.get(name) ?? 0) - (before.get(name) ?? 0)]).toEqual([name, expect.closeTo(more, 9)]);
    }
    expect(after.get('mizan_requests_in_flight')).toBe(0);
  });

  test('says which instance is up and which is not', async () => {
    await chat({ model: 'broken' });
    await chat({ model: 'words' });
    const now = await samples();
    expect(now.get('mizan_instance_up{instance="broken-1",model="broken"}')).toBe(0);
    expect(now.get('mizan_instance_up{instance="words-1",model="words"}')).toBe(1);
  });

  test('has no label that only a caller named', async () => {
    const invented = ['imaginary-model', 'agent/imaginary-agent', 'mock/imaginary-upstream', 'sim/imaginary-sim'];
    for (const model of invented) await chat({ model });
    await run({ agent: 'imaginary-agent', input: 'x' });
    const { text } = await ask(`${mizan.metricsUrl}/metrics`);
    expect(text).not.toContain('imaginary');
    expect(text).toContain('model="sim/*"');
  });
});
