import { variableOf } from './expand.ts';
import type { Environment } from './expand.ts';
import { environment } from './outside.ts';
import type { Places } from './places.ts';
import { isProviderKind } from './schema.ts';
import { entriesOf, isMapping, newMapping } from './tree.ts';
import type { Mapping } from './tree.ts';

const keyVariable = 'OPENROUTER_API_KEY';

/** The upstream model of the model `default`, for the kinds of providers that have one to offer. */
const upstreamModels: Readonly<Record<string, string>> = { openrouter: 'openrouter/auto', simulator: 'simulator' };

function isMissing(section: unknown): boolean {
  return section === undefined || (isMapping(section) && Object.keys(section).length === 0);
}

/** A provider's kind is its name, where that is one; `ollama:` with nothing below it is a whole provider. */
function completeProviders(tree: Mapping, places: Places, env: Environment): void {
  const key = variableOf(env, keyVariable) ?? '';
  const name = key === '' ? 'simulator' : 'openrouter';
  if (isMissing(tree['providers'])) tree['providers'] = newMapping({ [name]: newMapping() });
  const providers = tree['providers'];
  if (!isMapping(providers)) return;
  for (const [id, given] of Object.entries(providers)) {
    const provider = (providers[id] = given === null ? newMapping() : given);
    if (!isMapping(provider)) continue;
    if (provider['kind'] === undefined && isProviderKind(id)) provider['kind'] = id;
    if (provider['kind'] !== 'openrouter' || provider['apiKey'] !== undefined || key === '') continue;
    provider['apiKey'] = key;
    places.set(['providers', id, 'apiKey'], { origin: environment, label: keyVariable });
  }
}

function completeModels(tree: Mapping): void {
  if (!isMissing(tree['models'])) return;
  for (const [provider, settings] of entriesOf(tree['providers'])) {
    const model = isMapping(settings) ? upstreamModels[String(settings['kind'])] : undefined;
    if (model === undefined) continue;
    tree['models'] = newMapping({
      default: newMapping({ instances: [newMapping({ id: provider, provider, model })] }),
    });
    return;
  }
}

function completeAgents(tree: Mapping): void {
  if (!isMissing(tree['agents'])) return;
  const models = entriesOf(tree['models']).map(([id]) => id);
  const model = models.includes('default') ? 'default' : models[0];
  if (model !== undefined) tree['agents'] = newMapping({ assistant: newMapping({ model }) });
}

/**
 * Fills in the parts that a configuration leaves out, so that what is there can be used:
 *
 * - no providers: `openrouter` if `OPENROUTER_API_KEY` is set, else `simulator`. Every provider of the kind
 *   `openrouter` that gives no key of its own uses that variable;
 * - no models: a model `default` with one instance, at the first provider that is `openrouter` (upstream model
 *   `openrouter/auto`) or `simulator`. Of any other kind the upstream's models aren't known, so that none is made:
 *   they can be called as `provider/upstream-model`;
 * - no agents: an agent `assistant` on the model `default`, else on the first model; none where there are no models.
 *
 * A section that is empty counts as left out, and so does one with nothing below its name.
 */
export function applyDefaults(tree: Mapping, places: Places, env: Environment): void {
  completeProviders(tree, places, env);
  completeModels(tree);
  completeAgents(tree);
}

/** A section with nothing below its name (all of it commented out, say) is none. */
export function dropEmptySections(tree: Mapping): void {
  for (const [key, section] of Object.entries(tree)) if (section === null) delete tree[key];
}
