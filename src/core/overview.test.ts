import { expect, test } from 'vitest';
import { publicOverview } from './overview.ts';

test('an overview has of a cost the digits that were paid, and none of their addition', () => {
  const latencyMs = { p50: 1, p95: 2, p99: 3 };
  const total = { requests: 2, errors: 0, inputTokens: 1, outputTokens: 1, costUsd: 0.1 + 0.2, latencyMs };
  const overview = { from: 0, to: 60_000, step: 60, total, series: [], agents: [], models: [], instances: [] };
  expect(publicOverview(overview, 0).total.cost_usd).toBe(0.3);
});
