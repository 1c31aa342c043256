import type { ChatEvents } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';

type Members = Record<string, unknown>;

/** Texts that are said once; every other text of a delta goes on where the one before ended. */
const saidOnce: ReadonlySet<string> = new Set(['role', 'id', 'type', 'name', 'finish_reason']);

/** Levels of a delta that are joined; what lies deeper is taken as it is. */
const maxDepth = 4;

/** What a member is taken for besides the text in it, in bytes. */
const memberBytes = 16;

/** Puts a streamed answer together again, as it would have come without streaming. */
export class Assembly {
  readonly #maxBytes: number;
  #first: JsonObject | null = null;
  #usage: unknown;
  readonly #choices = new Map<unknown, Members>();
  #heldBytes = 0;
  #leftOutBytes = 0;

  /** @param maxBytes From here on, texts are only counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that came after there were enough, about. */
  get leftOutBytes(): number {
    return this.#leftOutBytes;
  }

  add({ chunks }: ChatEvents): void {
    for (const chunk of chunks) {
      this.#first ??= chunk;
      this.#usage = chunk['usage'] ?? this.#usage;
      const choices = chunk['choices'];
      if (!Array.isArray(choices)) continue;
      for (const choice of choices) if (isObject(choice)) this.#addChoice(choice);
    }
  }

  /** `null` where nothing was said. */
  completion(): JsonObject | null {
    if (this.#first === null) return null;
    const { object: _object, choices: _choices, usage: _usage, ...rest } = this.#first;
    return {
      ...rest,
      object: 'chat.completion',
      choices: [...this.#choices.values()],
      ...(this.#usage === undefined ? {} : { usage: this.#usage }),
    };
  }

  #addChoice(choice: JsonObject): void {
    const index = choice['index'] ?? 0;
    let whole = this.#choices.get(index);
    if (whole === undefined) {
      if (this.#isFull(memberBytes)) return;
      whole = newMembers({ index, message: newMembers({}), finish_reason: null });
      this.#choices.set(index, whole);
    }
    const { delta, index: _index, finish_reason: reason, ...rest } = choice;
    if (typeof reason === 'string') whole['finish_reason'] = reason;
    if (isObject(delta)) this.#join(whole['message'] as Members, delta, 0);
    this.#join(whole, rest, 0);
  }

  #join(whole: Members, part: JsonObject, depth: number): void {
    for (const [member, value] of Object.entries(part)) {
      if (value === null || value === undefined) continue;
      const before = whole[member];
      if (typeof value === 'string') {
        if (this.#isFull(value.length)) continue;
        const goesOn = typeof before === 'string' && !saidOnce.has(member);
        whole[member] = goesOn ? before + value : value;
      } else if (this.#isFull(memberBytes)) {
        continue;
      } else if (Array.isArray(value) && depth < maxDepth) {
        whole[member] = this.#joinLists(Array.isArray(before) ? (before as unknown[]) : [], value, depth);
      } else if (isObject(value) && depth < maxDepth) {
        const object = isObject(before) ? before : newMembers({});
        this.#join(object, value, depth + 1);
        whole[member] = object;
      } else {
        whole[member] = value;
      }
    }
  }

  /** Items with the same `index` are parts of one, such as a call of a tool; others follow each other. */
  #joinLists(whole: unknown[], parts: readonly unknown[], depth: number): unknown[] {
    for (const part of parts) {
      if (this.#isFull(memberBytes)) break;
      if (!isObject(part)) {
        whole.push(part);
        continue;
      }
      const { index } = part;
      const isSame = (item: unknown): boolean => isObject(item) && index !== undefined && item['index'] === index;
      let item = whole.find(isSame) as Members | undefined;
      if (item === undefined) whole.push((item = newMembers({})));
      this.#join(item, part, depth + 1);
    }
    return whole;
  }

  /** Counts what comes, and whether it is too much. */
  #isFull(bytes: number): boolean {
    if (this.#heldBytes >= this.#maxBytes) {
      this.#leftOutBytes += bytes;
      return true;
    }
    this.#heldBytes += bytes;
    return false;
  }
}

/** Without a prototype: a member of any name is a member and nothing else. */
function newMembers(members: Members): Members {
  return Object.assign(Object.create(null) as Members, members);
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
