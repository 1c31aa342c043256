import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { SetupError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { CommonOptions } from '../options.ts';
import { configOf } from '../options.ts';
import { print, say, table } from '../say.ts';
import type { Seen } from './audience.ts';
import { makeCalls } from './audience.ts';
import type { Scenario } from './scenario.ts';
import { readScenario, scenarioNames } from './scenario.ts';
import { setStage } from './stage.ts';
import { startMizan } from '../../main.ts';

export interface RehearseOptions extends CommonOptions {
  readonly model?: string;
  readonly json?: boolean;
}

/** Runs one, or lists those there are. */
export async function rehearse(given: string | undefined, options: RehearseOptions): Promise<void> {
  if (given === undefined) {
    print(
      table(
        ['SCENARIO', 'DESCRIPTION'],
        scenarioNames().map((id) => [id, readScenario(id).description]),
      ),
    );
    return;
  }
  const scenario = readScenario(given);
  const config = configOf(options);
  const modelId = modelOf(config, options.model);
  const stage = setStage(config, scenario, modelId);
  const folder = mkdtempSync(join(tmpdir(), 'mizan-rehearsal-'));
  const mizan = await startMizan(stage.config, folder, { provide: stage.provide, role: 'gateway' });
  try {
    const grant = { subject: 'rehearsal', tenant: 'rehearsal', role: 'member', agents: null, ttl: 3600 } as const;
    const token = await mizan.tokens.sign(grant, Date.now());
    say(`${scenario.description} (${scenario.calls} calls to "${modelId}", ${scenario.concurrency} at a time)`);
    stage.begin();
    const seen = await makeCalls(mizan.url, token, modelId, scenario);
    const metrics = await (await fetch(`${mizan.metricsUrl}/metrics`)).text();
    report(seen, { scenario, isJson: options.json === true, attempts: attemptsIn(metrics) });
  } finally {
    await mizan.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function modelOf(config: Config, given: string | undefined): string {
  const known = Object.keys(config.models);
  const id = given ?? config.agents[config.defaultAgent ?? '']?.model ?? known[0] ?? '';
  if (known.includes(id)) return id;
  throw new SetupError(`There is no model "${id}" with instances in the configuration.${didYouMean(id, known)}`);
}

/** What each instance was asked, and what came of it, from Mizan's own metrics. */
function attemptsIn(metrics: string): { model: string; instance: string; outcome: string; count: number }[] {
  const lines = metrics.matchAll(/^mizan_attempts_total\{([^}]*)\} (\d+)$/gm);
  return [...lines].map(([, labels = '', count]) => {
    const label = (wanted: string): string => new RegExp(`${wanted}="([^"]*)"`).exec(labels)?.[1] ?? '';
    return { model: label('model'), instance: label('instance'), outcome: label('outcome'), count: Number(count) };
  });
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

function report(
  seen: readonly Seen[],
  { scenario, isJson, attempts }: { scenario: Scenario; isJson: boolean; attempts: ReturnType<typeof attemptsIn> },
): void {
  const errors = seen.filter(({ error }) => error !== null);
  const codes = Object.entries(Object.groupBy(errors, ({ error }) => error ?? ''));
  const isPassed = errors.length <= scenario.expect.errors;
  const latencies = seen.map(({ latencyMs }) => latencyMs);
  const firsts = seen.filter(({ isStream, error }) => isStream && error === null).map(({ firstMs }) => firstMs);
  const summary = {
    calls: seen.length,
    answered: seen.length - errors.length,
    errors: Object.fromEntries(codes.map(([code, list]) => [code, list?.length ?? 0])),
    broken_streams: errors.filter(({ isBroken }) => isBroken).length,
    more_than_one_attempt: seen.filter((call) => call.attempts > 1).length,
    latency_ms: { p50: percentile(latencies, 0.5), p95: percentile(latencies, 0.95), p99: percentile(latencies, 0.99) },
    first_piece_ms: { p50: percentile(firsts, 0.5), p99: percentile(firsts, 0.99) },
    attempts,
    passed: isPassed,
  };
  if (isJson) print(JSON.stringify(summary, null, 2));
  else printSummary(summary, scenario);
  if (!isPassed) process.exitCode = 1;
}

function printSummary(
  summary: {
    readonly calls: number;
    readonly answered: number;
    readonly errors: Readonly<Record<string, number>>;
    readonly broken_streams: number;
    readonly more_than_one_attempt: number;
    readonly latency_ms: Readonly<Record<'p50' | 'p95' | 'p99', number>>;
    readonly first_piece_ms: Readonly<Record<'p50' | 'p99', number>>;
    readonly attempts: ReturnType<typeof attemptsIn>;
    readonly passed: boolean;
  },
  scenario: Scenario,
): void {
  const { latency_ms: latency, first_piece_ms: first } = summary;
  print('What callers saw');
  print(`  answered      ${summary.answered} of ${summary.calls}`);
  for (const [code, count] of Object.entries(summary.errors)) print(`  error         ${count} × ${code}`);
  if (summary.broken_streams > 0) print(`  broke off     ${summary.broken_streams}, each told so`);
  print(`  latency       p50 ${latency.p50} ms, p95 ${latency.p95} ms, p99 ${latency.p99} ms`);
  print(`  first piece   p50 ${first.p50} ms, p99 ${first.p99} ms (streams)`);
  print(`  helped along  ${summary.more_than_one_attempt} calls took more than one attempt`);
  print('');
  const rows = summary.attempts.map(({ model, instance, outcome, count }) => [model, instance, outcome, String(count)]);
  print(table(['MODEL', 'INSTANCE', 'OUTCOME', 'ATTEMPTS'], rows));
  print('');
  print(`${summary.passed ? 'Passed' : 'Failed'}: at most ${scenario.expect.errors} errors were expected.`);
}
