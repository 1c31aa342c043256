import { Composer, CST, Lexer, LineCounter, Parser } from 'yaml';
import type { ErrorCode, YAMLError } from 'yaml';
import { Places } from './places.ts';
import type { Origin, Problem } from './problem.ts';
import { newMapping } from './tree.ts';
import { maxDepth, NodeReader } from './yaml-nodes.ts';

/** A configuration as it stands in a file: nothing is expanded, nothing checked. */
export interface YamlTree {
  readonly tree: unknown;
  readonly places: Places;
  readonly problems: readonly Problem[];
}

/** Far more than any configuration has. The parser's time grows with them, and with its mistakes. */
const maxLexemes = 200_000;

type SyntaxFault = Pick<YAMLError, 'code' | 'pos'>;

/** Our own words: the library's may quote the file, and with it a secret. */
const syntaxMessages: Partial<Record<ErrorCode, string>> = {
  ALIAS_PROPS: 'an alias can have neither an anchor nor a tag',
  BAD_DIRECTIVE: 'a directive that YAML 1.2 does not have',
  BAD_DQ_ESCAPE: 'an escape sequence that YAML does not have; write the text in single quotes',
  BAD_INDENT: 'the indentation is wrong, or a bracket is not closed',
  BAD_SCALAR_START: 'a text that begins with this character needs quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second ": " in one line; put the text in quotes',
  KEY_OVER_1024_CHARS: 'a key of more than 1024 characters',
  MISSING_CHAR: 'something is missing here: a quote, a comma, a colon or a space',
  MULTIPLE_DOCS: 'expected one document, found a second',
  MULTIPLE_ANCHORS: 'a value can have only one anchor',
  MULTILINE_IMPLICIT_KEY: 'a key must end on the line it begins on, followed by ":"',
  NON_STRING_KEY: 'expected a text as the key',
  TAB_AS_INDENT: 'a tab; YAML is indented with spaces',
  TAG_RESOLVE_FAILED: 'a tag that is not allowed here',
  UNEXPECTED_TOKEN: 'this cannot stand here; a text with special characters needs quotes ("${NAME}" inside { } does)',
};

/** Reads a text as one document of YAML 1.2. It never throws. */
export function readYaml(written: string, source: string): YamlTree {
  // A byte order mark is no column.
  const text = written.replace(/^\uFEFF/, '');
  const lines = new LineCounter();
  const originAt = (offset: number): Origin => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { source, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const places = new Places({ source, line: 1, column: 1 });
  const failed = (problems: Problem[]): YamlTree => ({ tree: undefined, places, problems });

  const tokens = tokensOf(text, lines);
  if (tokens === undefined) {
    return failed([{ ...originAt(0), path: '', message: `more than ${maxLexemes} words and signs` }]);
  }
  const tooDeep = tokens.map(tokenBelow).find((token) => token !== undefined);
  if (tooDeep !== undefined) {
    return failed([{ ...originAt(tooDeep.offset), path: '', message: `more than ${maxDepth} levels` }]);
  }
  const composer = new Composer({ schema: 'core', stringKeys: true, uniqueKeys: false, resolveKnownTags: false });
  const [document, second] = composer.compose(tokens, true, text.length);
  const errors: SyntaxFault[] = [...(document?.errors ?? []), ...(document?.warnings ?? [])];
  if (second !== undefined) errors.push({ code: 'MULTIPLE_DOCS', pos: [second.range[0], second.range[0]] });
  if (errors.length > 0) return failed(untilLost(errors).map((error) => syntaxProblem(error, originAt)));

  const reader = new NodeReader(places, originAt);
  const tree = reader.read(document?.contents ?? null, []) ?? newMapping();
  return { tree, places, problems: reader.problems };
}

function syntaxProblem(error: SyntaxFault, originAt: (offset: number) => Origin): Problem {
  return { ...originAt(error.pos[0]), path: '', message: syntaxMessages[error.code] ?? 'this is not valid YAML' };
}

/** After a token out of place the parser has lost its way: what it says then means nothing. */
function untilLost(faults: readonly SyntaxFault[]): readonly SyntaxFault[] {
  const lost = faults.findIndex(({ code }) => code === 'UNEXPECTED_TOKEN');
  return lost === -1 ? faults : faults.slice(0, lost + 1);
}

/** The text's tokens; `undefined` where there are more than `maxLexemes`. */
function tokensOf(text: string, lines: LineCounter): CST.Token[] | undefined {
  const parser = new Parser(lines.addNewLine);
  const tokens: CST.Token[] = [];
  let lexemes = 0;
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > maxLexemes) return undefined;
    tokens.push(...parser.next(lexeme));
  }
  tokens.push(...parser.end());
  return tokens;
}

/** A collection that is nested too deeply, found without recursion: composing recurses, and may crash the process. */
function tokenBelow(root: CST.Token): CST.Token | undefined {
  const open: [CST.Token | null | undefined, number][] = [[root.type === 'document' ? root.value : undefined, 1]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [token, depth] = next;
    if (!CST.isCollection(token)) continue;
    if (depth > maxDepth) return token;
    for (const item of token.items) open.push([item.key, depth + 1], [item.value, depth + 1]);
  }
  return undefined;
}
