import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { watchChecks } from '../src/telemetry/instance-metrics.ts';
import { jobFigures } from '../src/telemetry/job-metrics.ts';
import { Metrics } from '../src/telemetry/metrics.ts';
import { installed, onPath } from './support/installed.ts';

const deploy = join(import.meta.dirname, '../deploy');

test('the rules alert when they should and not before, by Prometheus’ own tool', { timeout: 600_000 }, async () => {
  const find = (): string | null => onPath('promtool');
  const missing = 'promtool is not on the path: install Prometheus (Debian: apt-get install prometheus).';
  const promtool = find() ?? installed('prometheus', missing, find);
  const { stdout } = await promisify(execFile)(promtool, ['test', 'rules', join(deploy, 'alerts.test.yml')]);
  expect(stdout).toContain('SUCCESS');
});

test('every series that a rule asks for is one that Mizan has', () => {
  const metrics = new Metrics(() => 0);
  jobFigures(metrics);
  watchChecks(metrics, { find: () => undefined, all: () => [] });
  const text = ['alerts.yml', 'alerts.test.yml'].map((name) => readFileSync(join(deploy, name), 'utf8')).join('\n');
  const asked = new Set([...text.matchAll(/\bmizan_\w+/g)].map(([name]) => name));
  expect(asked.size).toBeGreaterThan(3);
  expect([...asked].filter((name) => metrics.registry.getSingleMetric(name) === undefined)).toEqual([]);
});
