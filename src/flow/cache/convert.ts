import type { JsonObject } from '../../core/json-document.ts';

type Members = Record<string, unknown>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Texts of a delta that say what something is; all others are pieces of something longer. */
const names: ReadonlySet<string> = new Set(['role', 'id', 'type', 'name', 'format', 'object']);

/** What a stream's chunks say all together, as the body of an answer that was not streamed. */
export function completionOf(chunks: readonly JsonObject[]): JsonObject {
  const completion: Members = {};
  const choices = new Map<number, Members>();
  for (const chunk of chunks) {
    for (const [member, value] of Object.entries(chunk)) {
      if (member === 'choices') for (const choice of value as readonly unknown[]) addChoice(choices, choice);
      else if (value !== null || completion[member] === undefined) completion[member] = value;
    }
  }
  const { usage, ...rest } = completion;
  const inOrder = [...choices].toSorted(([a], [b]) => a - b).map(([, choice]) => finished(choice));
  return {
    ...rest,
    object: 'chat.completion',
    choices: inOrder,
    ...(isObject(usage) ? { usage } : {}),
  };
}

function addChoice(choices: Map<number, Members>, choice: unknown): void {
  if (!isObject(choice)) return;
  const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
  let whole = choices.get(index);
  if (whole === undefined) choices.set(index, (whole = { index, message: { role: 'assistant', content: null } }));
  const { index: _, delta, logprobs, ...rest } = choice;
  if (isObject(delta)) add(whole['message'] as Members, delta);
  if (isObject(logprobs)) add((whole['logprobs'] ??= {}) as Members, logprobs);
  else if (logprobs !== undefined) whole['logprobs'] ??= null;
  for (const [member, value] of Object.entries(rest)) if (value !== null) whole[member] = value;
}

/** Adds a piece to what came before it: texts are joined, lists by the `index` of their items. */
function add(whole: Members, piece: JsonObject): void {
  for (const [member, value] of Object.entries(piece)) {
    const before = whole[member];
    if (value === null || value === undefined) {
      if (before === undefined) whole[member] = null;
    } else if (typeof value === 'string' && typeof before === 'string' && !names.has(member)) {
      whole[member] = before + value;
    } else if (Array.isArray(value)) {
      whole[member] = Array.isArray(before) ? before : [];
      addItems(whole[member] as unknown[], value);
    } else if (isObject(value) && isObject(before)) {
      add(before, value);
    } else {
      whole[member] = isObject(value) ? structuredClone(value) : value;
    }
  }
}

function addItems(whole: unknown[], items: readonly unknown[]): void {
  for (const item of items) {
    const index = isObject(item) ? item['index'] : undefined;
    const known = index === undefined ? undefined : whole.find((other) => isObject(other) && other['index'] === index);
    if (known === undefined) whole.push(structuredClone(item));
    else add(known as Members, item as JsonObject);
  }
}

/** A choice in the order of its members as services have them; calls of tools without the place that joined them. */
function finished({ index, message, logprobs, finish_reason: reason = null, ...rest }: Members): JsonObject {
  const { tool_calls: calls, ...said } = message as Members;
  const tools = Array.isArray(calls) ? { tool_calls: calls.map(withoutIndex) } : {};
  return {
    index,
    message: { ...said, ...tools },
    ...(logprobs === undefined ? {} : { logprobs }),
    ...rest,
    finish_reason: reason,
  };
}

function withoutIndex(item: unknown): unknown {
  if (!isObject(item)) return item;
  const { index: _, ...rest } = item;
  return rest;
}

/** An answer that was not streamed as the chunks of one that is; the last is its usage, where it has one. */
export function chunksOf(completion: JsonObject, pieceOf: (text: string) => readonly string[]): JsonObject[] {
  const { choices, usage, ...rest } = completion;
  const chunks: JsonObject[] = [];
  const base = { ...rest, object: 'chat.completion.chunk' };
  for (const choice of (choices as readonly unknown[]).filter(isObject)) {
    const { message, finish_reason: reason, logprobs = null, ...about } = choice;
    const { role, content, tool_calls: calls, ...said } = isObject(message) ? message : ({} as JsonObject);
    const chunk = (delta: JsonObject, finish: unknown, probabilities: unknown = null): void => {
      chunks.push({ ...base, choices: [{ ...about, delta, logprobs: probabilities, finish_reason: finish }] });
    };
    const isText = typeof content === 'string';
    chunk({ role: role ?? 'assistant', content: isText ? '' : (content ?? null), ...said }, null);
    const pieces = isText && content !== '' ? pieceOf(content) : [];
    for (const [i, piece] of pieces.entries()) chunk({ content: piece }, null, i === 0 ? logprobs : null);
    if (Array.isArray(calls)) {
      const placed = (calls as unknown[]).map((call, index) => (isObject(call) ? { index, ...call } : call));
      chunk({ tool_calls: placed }, null);
    }
    chunk({}, reason ?? null);
  }
  if (isObject(usage)) chunks.push({ ...base, choices: [], usage });
  return chunks;
}
