import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { requestRecord } from '../../test/support/records.ts';
import type { TrailStep } from '../core/trail.ts';
import { createMetricsServer } from './metrics-server.ts';
import { Metrics } from './metrics.ts';

const step: TrailStep = {
  model: 'fast',
  instance: 'a',
  provider: 'sim',
  purpose: 'first',
  outcome: 'ok',
  detail: null,
  startedMs: 0,
  durationMs: 250,
};

const textOf = (metrics: Metrics): Promise<string> => metrics.registry.metrics();

function answered(
  metrics: Metrics,
  over: Parameters<typeof requestRecord>[0] = {},
  label = 'fast',
  latencyMs = 300,
): void {
  metrics.requestStarted();
  metrics.requestEnded(requestRecord(over), label, latencyMs);
}

describe('metrics', () => {
  test('have every name of the contract that has something to count, with its labels', async () => {
    const metrics = new Metrics(() => 3);
    metrics.watchInstances(() => [{ instance: 'a', model: 'fast', isUp: true, inFlight: 2 }]);
    metrics.attemptEnded('fast', step);
    answered(metrics, { stream: true, firstTokenMs: 40 });
    const text = await textOf(metrics);
    for (const line of [
      'mizan_requests_total{agent="assistant",model="fast",instance="a",status="200"} 1',
      'mizan_request_duration_seconds_count{agent="assistant",model="fast"} 1',
      'mizan_overhead_seconds_count 1',
      'mizan_upstream_duration_seconds_sum{instance="a",model="fast"} 0.25',
      'mizan_time_to_first_token_seconds_sum{model="fast"} 0.04',
      'mizan_tokens_total{agent="assistant",model="fast",direction="input"} 12',
      'mizan_tokens_total{agent="assistant",model="fast",direction="output"} 3',
      'mizan_cost_usd_total{agent="assistant",model="fast"} 0.00001',
      'mizan_requests_in_flight 0',
      'mizan_attempts_total{instance="a",model="fast",outcome="ok"} 1',
      'mizan_instance_up{instance="a",model="fast"} 1',
      'mizan_rows_pending 3',
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
    expect(text).toMatch(/^process_cpu_seconds_total /m);
    expect(text).toMatch(/^nodejs_eventloop_lag_seconds /m);
  });

  test('say how long turns of the event loop took, and not how often somebody looked', async () => {
    const metrics = new Metrics(() => 0);
    await textOf(metrics);
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    const text = await textOf(metrics);
    const lag = (figure: string): number =>
      Number(new RegExp(`^nodejs_eventloop_lag_${figure}_seconds (.+)$`, 'm').exec(text)?.[1]);
    // Looked at every 10 ms, no delay would be shorter than that.
    expect(lag('min')).toBeLessThan(0.005);
    expect(lag('max')).toBeGreaterThan(0);
  });

  test('have all their names from the start, so that a first scrape sees them', async () => {
    const text = await textOf(new Metrics(() => 0));
    for (const name of [
      'mizan_requests_total',
      'mizan_request_duration_seconds',
      'mizan_overhead_seconds',
      'mizan_upstream_duration_seconds',
      'mizan_time_to_first_token_seconds',
      'mizan_tokens_total',
      'mizan_cost_usd_total',
      'mizan_requests_in_flight',
      'mizan_attempts_total',
      'mizan_rows_pending',
    ]) {
      expect(text).toContain(`# TYPE ${name} `);
    }
  });

  test('are in seconds', async () => {
    const metrics = new Metrics(() => 0);
    answered(metrics, { gatewayMs: 1.5 }, 'fast', 1500);
    const text = await textOf(metrics);
    expect(text).toContain('mizan_request_duration_seconds_sum{agent="assistant",model="fast"} 1.5');
    expect(text).toContain('mizan_overhead_seconds_sum 0.0015');
  });

  test('do not count what is not known', async () => {
    const metrics = new Metrics(() => 0);
    answered(metrics, { inputTokens: null, outputTokens: null, costUsd: null, firstTokenMs: null });
    const text = await textOf(metrics);
    expect(text).not.toMatch(/^mizan_tokens_total\{/m);
    expect(text).not.toMatch(/^mizan_cost_usd_total\{/m);
    expect(text).not.toMatch(/^mizan_time_to_first_token_seconds_count\{/m);
  });

  test('count what is known to be nothing', async () => {
    const metrics = new Metrics(() => 0);
    answered(metrics, { inputTokens: 0, outputTokens: 0, costUsd: 0 });
    expect(await textOf(metrics)).toContain('mizan_cost_usd_total{agent="assistant",model="fast"} 0');
  });

  test('count requests by their status, and failed attempts by their kind', async () => {
    const metrics = new Metrics(() => 0);
    answered(metrics);
    answered(metrics);
    answered(metrics, { status: 499 });
    metrics.attemptEnded('fast', { ...step, outcome: 'rate_limited' });
    const text = await textOf(metrics);
    expect(text).toContain('mizan_requests_total{agent="assistant",model="fast",instance="a",status="200"} 2');
    expect(text).toContain('mizan_requests_total{agent="assistant",model="fast",instance="a",status="499"} 1');
    expect(text).toContain('mizan_attempts_total{instance="a",model="fast",outcome="rate_limited"} 1');
  });

  test('show who is being answered right now', async () => {
    const metrics = new Metrics(() => 0);
    metrics.requestStarted();
    metrics.requestStarted();
    expect(metrics.inFlight).toBe(2);
    expect(await textOf(metrics)).toContain('mizan_requests_in_flight 2');
    metrics.requestEnded(requestRecord(), 'fast', 1);
    expect(metrics.inFlight).toBe(1);
  });

  test('ask how instances are and how many rows wait when they are scraped, not before', async () => {
    let isUp = true;
    let rows = 0;
    const metrics = new Metrics(() => rows);
    metrics.watchInstances(() => [{ instance: 'a', model: 'fast', isUp, inFlight: 0 }]);
    expect(await textOf(metrics)).toContain('mizan_instance_up{instance="a",model="fast"} 1');
    isUp = false;
    rows = 7;
    const text = await textOf(metrics);
    expect(text).toContain('mizan_instance_up{instance="a",model="fast"} 0');
    expect(text).toContain('mizan_rows_pending 7');
  });

  test('take no label from a record that callers decide: its ids, its model’s own name, who asked', async () => {
    const metrics = new Metrics(() => 0);
    const madeUp = {
      id: 'req_made-up',
      model: 'sim/made-up',
      principal: 'made-up',
      tenant: 'made-up',
      finishReason: 'made-up',
    };
    answered(metrics, madeUp, 'sim/*');
    const text = await textOf(metrics);
    expect(text).not.toContain('made-up');
    expect(text).toContain('mizan_requests_total{agent="assistant",model="sim/*",instance="a",status="200"} 1');
  });

  test('have empty labels for what a request did not come to', async () => {
    const metrics = new Metrics(() => 0);
    answered(metrics, { agent: null, model: null, instance: null, status: 404 }, '');
    expect(await textOf(metrics)).toContain('mizan_requests_total{agent="",model="",instance="",status="404"} 1');
  });

  test('of two Mizans in one process are their own', async () => {
    const [one, other] = [new Metrics(() => 0), new Metrics(() => 0)];
    answered(one);
    expect(await textOf(other)).not.toMatch(/^mizan_requests_total\{/m);
  });
});

describe('the metrics server', () => {
  async function started(metrics: Metrics): Promise<string> {
    const server = createMetricsServer(metrics);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test('answers in the Prometheus text format', async () => {
    const metrics = new Metrics(() => 0);
    answered(metrics);
    const url = await started(metrics);
    for (const path of ['/metrics', '/metrics?x=1']) {
      const answer = await fetch(`${url}${path}`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(await answer.text()).toContain('mizan_requests_total{agent="assistant"');
    }
  });

  test.each([
    ['GET', '/'],
    ['GET', '/metrics/'],
    ['GET', '/api/requests'],
    ['POST', '/metrics'],
  ])('has nothing else: %s %s', async (method, path) => {
    const answer = await fetch((await started(new Metrics(() => 0))) + path, { method });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain('/metrics');
  });

  test('outlives a figure that cannot be had', async () => {
    const metrics = new Metrics(() => {
      throw new Error('private');
    });
    const url = await started(metrics);
    const answer = await fetch(`${url}/metrics`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('private');
    expect((await fetch(`${url}/`)).status).toBe(404);
  });
});
