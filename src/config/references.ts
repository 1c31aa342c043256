import { catalogue } from '../providers/catalogue.ts';
import type { CatalogueRow } from '../providers/catalogue.ts';
import { issuerFindings } from './auth-references.ts';
import { egressRules, isAllowEntry, literalProblem } from '../egress/rules.ts';
import type { Finding } from './findings.ts';
import type { Path } from './places.ts';
import { scheduleFindings } from './schedule-findings.ts';
import { entriesOf, isMapping, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

function row(kind: unknown): CatalogueRow | undefined {
  return typeof kind === 'string' && Object.hasOwn(catalogue, kind)
    ? catalogue[kind as keyof typeof catalogue]
    : undefined;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === '';
}

function* providerFindings(tree: Mapping): Generator<Finding> {
  for (const [name, provider] of entriesOf(tree['providers'])) {
    const path = ['providers', name];
    if (name === 'agent') {
      yield { path, message: 'this name is taken: as a model, "agent/NAME" means an agent', onKey: true };
    }
    if (!isMapping(provider)) continue;
    const { kind, apiKey, baseUrl, headers } = provider as Partial<
      Record<'kind' | 'apiKey' | 'baseUrl' | 'headers', unknown>
    >;
    yield* headerFindings([...path, 'headers'], headers);
    const facts = row(kind);
    if (facts?.needsKey === true && isEmpty(apiKey)) {
      const variable = `${String(kind).toUpperCase()}_API_KEY`;
      yield { path: [...path, 'apiKey'], message: `missing; ${String(kind)} needs a key: apiKey: "\${${variable}}"` };
    }
    if (facts?.baseUrl === null && isEmpty(baseUrl)) {
      const message = `missing; ${String(kind)} needs the service's URL: baseUrl: http://127.0.0.1:8080/v1`;
      yield { path: [...path, 'baseUrl'], message };
    }
  }
}

/** Names of headers are the same in upper and lower case. */
function* headerFindings(path: Path, headers: unknown): Generator<Finding> {
  const seen = new Set<string>();
  for (const [header] of entriesOf(headers)) {
    const same = header.toLowerCase();
    if (seen.has(same)) yield { path: [...path, header], message: 'this header stands here again', onKey: true };
    seen.add(same);
  }
}

/** A provider at an address that no connection would be made to. Names are looked at when they are looked up. */
function* egressFindings(tree: Mapping): Generator<Finding> {
  const given = valueAt(tree, ['egress', 'allow']);
  const allow = (Array.isArray(given) ? (given as unknown[]) : []).filter((entry) => typeof entry === 'string');
  const rules = egressRules(allow.filter(isAllowEntry));
  for (const [name, provider] of entriesOf(tree['providers'])) {
    const url = valueAt(provider, ['baseUrl']);
    if (typeof url !== 'string' || !URL.canParse(url)) continue;
    const problem = literalProblem(url, rules);
    if (problem !== null) yield { path: ['providers', name, 'baseUrl'], message: problem };
  }
}

function* modelFindings(tree: Mapping, providers: readonly string[]): Generator<Finding> {
  for (const [id, model] of entriesOf(tree['models'])) {
    const instances = valueAt(model, ['instances']);
    const seen = new Set<unknown>();
    for (const [i, instance] of (Array.isArray(instances) ? instances : []).entries()) {
      const path = ['models', id, 'instances', i];
      const own = valueAt(instance, ['id']);
      if (typeof own === 'string' && seen.has(own)) {
        yield { path: [...path, 'id'], message: 'expected an id that no other instance of the model has' };
      }
      seen.add(own);
      const provider = valueAt(instance, ['provider']);
      if (typeof provider === 'string' && provider !== '' && !providers.includes(provider)) {
        yield { path: [...path, 'provider'], message: 'expected the name of a provider', known: providers };
      }
    }
  }
}

/** An agent's model: a model id, or `provider/upstream-model` (no id has a slash in it). */
function* agentFindings(tree: Mapping, providers: readonly string[]): Generator<Finding> {
  const models = entriesOf(tree['models']).map(([id]) => id);
  for (const [name, agent] of entriesOf(tree['agents'])) {
    const model = valueAt(agent, ['model']);
    if (typeof model !== 'string' || model === '' || models.includes(model)) continue;
    const path = ['agents', name, 'model'];
    const slash = model.indexOf('/');
    const provider = model.slice(0, Math.max(slash, 0));
    if (slash === -1) yield { path, message: 'expected a model id, or "provider/upstream-model"', known: models };
    else if (!providers.includes(provider)) {
      yield { path, message: 'expected the name of a provider before the slash', known: providers, name: provider };
    } else if (slash === model.length - 1) yield { path, message: 'expected the name of a model after the slash' };
  }
}

/** Whom limits and budgets are for: what the configuration itself has to have. */
function* limitFindings(tree: Mapping): Generator<Finding> {
  const known = {
    agent: entriesOf(tree['agents']).map(([name]) => name),
    model: entriesOf(tree['models']).map(([id]) => id),
  };
  for (const section of ['limits', 'budgets'] as const) {
    for (const [name, rule] of entriesOf(tree[section])) {
      for (const field of ['agent', 'model'] as const) {
        const value = valueAt(rule, [field]);
        if (typeof value !== 'string' || value === '' || value === '*' || value.includes('/')) continue;
        if (known[field].includes(value)) continue;
        const what = field === 'agent' ? 'the name of an agent' : 'a model id, or "provider/upstream-model"';
        yield { path: [section, name, field], message: `expected ${what}, or "*"`, known: known[field] };
      }
    }
  }
}

function* portFindings(tree: Mapping): Generator<Finding> {
  const port = Number(valueAt(tree, ['server', 'port']) ?? 8000);
  const own = valueAt(tree, ['server', 'metricsPort']);
  if (port !== Number(own ?? 9000) || port === 0) return;
  const [key, other] = own === undefined ? ['port', 'metricsPort'] : ['metricsPort', 'port'];
  yield { path: ['server', key], message: `expected another port than server.${other}` };
}

/** What no schema of one value can see. It reads the tree as it is, so that it works beside other problems. */
export function* referenceFindings(tree: Mapping): Generator<Finding> {
  const providers = entriesOf(tree['providers']).map(([name]) => name);
  yield* providerFindings(tree);
  yield* egressFindings(tree);
  yield* modelFindings(tree, providers);
  yield* agentFindings(tree, providers);
  const agents = entriesOf(tree['agents']).map(([name]) => name);
  const { defaultAgent } = tree as { defaultAgent?: unknown };
  if (typeof defaultAgent === 'string' && defaultAgent !== '' && !agents.includes(defaultAgent)) {
    yield { path: ['defaultAgent'], message: 'expected the name of an agent', known: agents };
  }
  yield* limitFindings(tree);
  yield* portFindings(tree);
  yield* issuerFindings(tree);
  yield* scheduleFindings(tree);
}
