import type { Tags } from '../core/request-record.ts';

const most = { tags: 16, name: 64, value: 512 };

/**
 * A caller's `metadata` as the request log keeps it: names with texts, numbers, true and false. What is more than the
 * log holds is left out or cut, since notes are no reason to refuse a request.
 */
export function tagsOf(metadata: unknown): Tags | null {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) return null;
  const tags = Object.entries(metadata)
    .filter(([name, value]) => name !== '' && ['string', 'number', 'boolean'].includes(typeof value))
    .slice(0, most.tags)
    .map(([name, value]) => [cut(name, most.name), cut(String(value), most.value)] as const);
  return tags.length === 0 ? null : Object.fromEntries(tags);
}

function cut(text: string, length: number): string {
  return text.slice(0, length).toWellFormed();
}
