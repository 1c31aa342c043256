import { Refusal } from './openai-error.ts';
import { textOf, type ChatBody, type Tool } from './request.ts';

/** Words of tools' names that say nothing of what the tool is about. */
const verbs = new Set(
  'call check create delete do fetch find from get list look lookup make query read run send set show tool update with'.split(
    ' ',
  ),
);

/**
 * The tool that is called instead of an answer in text, or `null`: the named one; with `required` the one that the
 * user's words come nearest to; with `auto` only one that they mention, and only right after them.
 * @throws Refusal if the request names a tool that it doesn't have.
 */
export function chosenTool(body: ChatBody): Tool | null {
  const { tools, must } = offered(body);
  const last = body.messages.at(-1);
  if (tools.length === 0 || (!must && last?.role !== 'user')) return null;
  const said = body.messages.findLast(({ role }) => role === 'user');
  const text = said === undefined ? '' : textOf(said).toLowerCase();
  const words = new Set(text.match(/[\p{L}\p{M}\p{N}]+/gu));
  const scores = tools.map((tool) => mentions(tool.function.name, text, words));
  const best = Math.max(...scores);
  if (best === 0 && !must) return null;
  return tools[scores.indexOf(best)] ?? null;
}

function offered(body: ChatBody): { readonly tools: readonly Tool[]; readonly must: boolean } {
  const tools = body.tools ?? [];
  const choice = body.tool_choice ?? 'auto';
  if (choice === 'none') return { tools: [], must: false };
  if (typeof choice === 'string') return { tools, must: choice === 'required' };
  const named = choice.type === 'function' ? [choice] : choice.allowed_tools.tools;
  const allowed = named.map(({ function: { name } }) => {
    const found = tools.find((tool) => tool.function.name === name);
    if (found !== undefined) return found;
    const message = `Invalid value for 'tool_choice': the function '${name}' is not among 'tools'.`;
    throw new Refusal(400, message, { param: 'tool_choice', code: 'invalid_value' });
  });
  return { tools: allowed, must: choice.type === 'function' || choice.allowed_tools.mode === 'required' };
}

/** How clearly a text mentions a tool: by its whole name, or by how many of its name's words. */
function mentions(name: string, text: string, words: ReadonlySet<string>): number {
  if (text.includes(name.toLowerCase())) return Number.POSITIVE_INFINITY;
  const parts =
    name
      .replaceAll(/(\p{Ll})(\p{Lu})/gu, '$1 $2')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return parts.filter((part) => part.length > 2 && !verbs.has(part) && words.has(part)).length;
}
