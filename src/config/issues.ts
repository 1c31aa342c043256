import { z } from 'zod';
import type { Finding } from './findings.ts';
import { valueAt } from './tree.ts';

const expectations: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'a text',
  int: 'a whole number',
  boolean: 'true or false',
};

const otherValue = 'expected another value';

function oneOf(values: readonly unknown[]): string {
  const names = values.map((value) => JSON.stringify(value));
  return names.length === 1 ? `expected ${names.join('')}` : `expected one of ${names.join(', ')}`;
}

/** Messages for fields that don't bring their own. For unknown keys it is the list of the known ones. */
export const issueMessage: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape).join('\n') : '';
    case 'invalid_type':
      return `expected ${expectations[issue.expected] ?? `a ${issue.expected}`}`;
    case 'too_small':
      return `expected at least ${issue.minimum}`;
    case 'too_big':
      return `expected at most ${issue.maximum}`;
    case 'invalid_value':
      return oneOf(issue.values);
    default:
      return otherValue;
  }
};

/** A provider whose kind is unknown; one without a kind was to be known by its name. */
function kindFinding({ path, message }: Finding, known: readonly string[], tree: unknown): Finding {
  const name = valueAt(tree, path) === undefined ? path.at(-2) : undefined;
  return { path, message, known, ...(name === undefined ? {} : { name: String(name) }) };
}

/** What one issue of a schema means: one finding, or one for each key that is unknown. */
export function findingsOf(issue: z.core.$ZodIssue, tree: unknown): Finding[] {
  const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
  const { message } = issue;
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = message.split('\n');
      return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown key', known, onKey: true }));
    }
    case 'invalid_key':
      return [{ path, message: issue.issues[0]?.message ?? 'expected another key', onKey: true }];
    case 'invalid_value':
      return [{ path, message, known: issue.values.map(String) }];
    case 'invalid_union': {
      const known = ('options' in issue ? (issue.options ?? []) : []).map(String);
      return [known.length > 0 ? kindFinding({ path, message }, known, tree) : { path, message }];
    }
    case 'custom': {
      const known: unknown = issue.params?.['known'];
      return [{ path, message, ...(Array.isArray(known) ? { known: known.map(String) } : {}) }];
    }
    default:
      return [{ path, message }];
  }
}
