import { builtInJobs, jobTypeNames } from '../core/jobs.ts';
import { egressRules, isAllowEntry, literalProblem } from '../egress/rules.ts';
import type { Finding } from './findings.ts';
import { keysOfTypes, typeOf } from './schedule.ts';
import { entriesOf, isMapping, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

/** What is wrong between the parts of `schedule`, and between it and the rest. */
export function* scheduleFindings(tree: Mapping): Generator<Finding> {
  const webhooks = entriesOf(valueAt(tree, ['schedule', 'webhooks'])).map(([name]) => name);
  for (const [name, job] of entriesOf(valueAt(tree, ['schedule', 'jobs']))) {
    if (isMapping(job)) yield* jobFindings(name, job, { tree, webhooks });
  }
  for (const path of [
    ['schedule', 'notify', 'webhooks'],
    ['limiting', 'webhooks'],
  ]) {
    const told = valueAt(tree, path);
    for (const [i, name] of (Array.isArray(told) ? (told as unknown[]) : []).entries()) {
      if (typeof name !== 'string' || webhooks.includes(name)) continue;
      yield { path: [...path, i], message: 'expected the name of a webhook', known: webhooks };
    }
  }
  if (valueAt(tree, ['schedule', 'driver']) === 'bullmq' && !isGiven(valueAt(tree, ['redis', 'url']))) {
    const message = 'bullmq needs Redis; expected redis.url (or REDIS_URL) beside it, or auto, or local';
    yield { path: ['schedule', 'driver'], message };
  }
  yield* addressFindings(tree);
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}

function* jobFindings(
  name: string,
  job: Mapping,
  { tree, webhooks }: { readonly tree: Mapping; readonly webhooks: readonly string[] },
): Generator<Finding> {
  const path = ['schedule', 'jobs', name];
  const type = typeOf(name, job['type']);
  if (type === undefined) {
    if (job['type'] !== undefined) return;
    const message = 'expected a name that is a type, or a type below it';
    yield { path, message, known: jobTypeNames, onKey: true };
    return;
  }
  const given = ['cron', 'every', 'at'].filter((key) => job[key] !== undefined);
  if (given.length > 1) {
    yield {
      path: [...path, given[1] ?? ''],
      message: `expected one of cron, every and at, and there is ${given[0] ?? ''} already`,
      onKey: true,
    };
  }
  if (given.length === 0 && builtInJobs[type] === undefined) {
    yield { path: [...path, 'cron'], message: 'missing; expected when it runs: cron, every or at' };
  }
  for (const [other, keys] of Object.entries(keysOfTypes)) {
    for (const key of keys) {
      if (other === type || job[key] === undefined) continue;
      yield { path: [...path, key], message: `this key is for jobs of the type ${other}, not ${type}`, onKey: true };
    }
  }
  if (type !== 'agent') return;
  const agents = entriesOf(tree['agents']).map(([agent]) => agent);
  const { agent, input, webhook } = job as Partial<Record<'agent' | 'input' | 'webhook', unknown>>;
  if (typeof agent === 'string' && !agents.includes(agent)) {
    yield { path: [...path, 'agent'], message: 'expected the name of an agent', known: agents };
  }
  if (agent === undefined)
    yield { path: [...path, 'agent'], message: 'missing; expected the name of an agent', known: agents };
  if (input === undefined) yield { path: [...path, 'input'], message: 'missing; expected what the agent is told' };
  if (typeof webhook === 'string' && !webhooks.includes(webhook)) {
    yield { path: [...path, 'webhook'], message: 'expected the name of a webhook', known: webhooks };
  }
}

/** A webhook at an address that no connection would be made to. */
function* addressFindings(tree: Mapping): Generator<Finding> {
  const given = valueAt(tree, ['egress', 'allow']);
  const allow = (Array.isArray(given) ? (given as unknown[]) : []).filter((entry) => typeof entry === 'string');
  const rules = egressRules(allow.filter(isAllowEntry));
  for (const [name, webhook] of entriesOf(valueAt(tree, ['schedule', 'webhooks']))) {
    const url = valueAt(webhook, ['url']);
    if (typeof url !== 'string' || !URL.canParse(url)) continue;
    // What Mizan tells of itself doesn't go to whoever happens to be at an address of the inner network.
    const problem = literalProblem(url, rules, 'listed');
    if (problem !== null) yield { path: ['schedule', 'webhooks', name, 'url'], message: problem };
  }
}
