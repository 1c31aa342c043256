import type { OutState } from './health.ts';
import type { Instance, Needs } from './model.ts';

/** Why an instance is not a candidate for a request. */
export type ExclusionReason =
  | 'no_vision'
  | 'no_tools'
  | 'no_json_schema'
  | 'too_long'
  | OutState
  | 'probing'
  | 'max_in_flight'
  | 'rate'
  | 'tried';

export interface Exclusion {
  readonly instance: Instance;
  readonly reason: ExclusionReason;
  readonly detail: string;
  /** When that may have changed, in ms from now; `null` where time doesn't change it. */
  readonly againMs: number | null;
}

/** Reasons that hold for this request on this instance whenever it is asked. */
const unableReasons: ReadonlySet<ExclusionReason> = new Set(['no_vision', 'no_tools', 'no_json_schema', 'too_long']);

export function isUnable(exclusion: Exclusion): boolean {
  return unableReasons.has(exclusion.reason);
}

/** What keeps an instance from ever answering such a request, or `null`. */
export function inability(instance: Instance, needs: Needs): Exclusion | null {
  const { capabilities, contextLength } = instance;
  const exclude = (reason: ExclusionReason, detail: string): Exclusion => ({ instance, reason, detail, againMs: null });
  if (!capabilities.vision && needs.vision) return exclude('no_vision', 'it takes no images');
  if (!capabilities.tools && needs.tools) return exclude('no_tools', 'it calls no tools');
  if (!capabilities.jsonSchema && needs.jsonSchema) return exclude('no_json_schema', 'it follows no JSON schema');
  if (contextLength === null) return null;
  const wanted = needs.inputTokens + (needs.maxOutputTokens ?? 0);
  if (wanted <= contextLength) return null;
  return exclude('too_long', `it takes ${contextLength} tokens, and about ${wanted} are needed`);
}
