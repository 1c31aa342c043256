import { runInNewContext } from 'node:vm';

const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
/** What stands for a class of characters, the likeliest first. */
const candidates = ['a', 'A', '0', '1', ...printable, 'é', 'ع', '中', '\n'];

/** Longer patterns are given up at once. */
const longestPattern = 500;
const mostRepeats = 1000;
const longestText = 10_000;

/** A check that takes longer than this, in ms, will not end: any other takes less than one, on however busy a machine. */
const checkMs = 1000;

interface Reader {
  readonly pattern: string;
  at: number;
  /** How often a repeat is taken above its least. */
  readonly extra: number;
}

/**
 * A short text that matches a regular expression (ECMA-262, as JSON Schema's `pattern` has it), of at least
 * `minLength` characters. It takes the first of alternatives and the least of repeats, and no look-around is obeyed:
 * what comes out is checked, and `null` says that it did not match.
 */
export function matching(pattern: string, minLength: number, maxLength: number): string | null {
  if (pattern.length > longestPattern) return null;
  const texts = [0, 1, minLength].flatMap((extra) => {
    const text = alternatives({ pattern, at: 0, extra: Math.min(extra, mostRepeats) });
    return [text, text.padEnd(Math.min(minLength, longestText), 'a')];
  });
  const fitting = texts.filter((text) => text.length >= minLength && text.length <= maxLength);
  return firstMatch(pattern, fitting);
}

/** Some patterns take forever to fail, so this one gives up in time. */
function firstMatch(pattern: string, texts: readonly string[]): string | null {
  const script = 'const expression = new RegExp(pattern, "u"); texts.find((text) => expression.test(text)) ?? null';
  try {
    return runInNewContext(script, { pattern, texts }, { timeout: checkMs }) as string | null;
  } catch {
    return null;
  }
}

function alternatives(reader: Reader): string {
  const first = sequence(reader);
  while (reader.pattern[reader.at] === '|') {
    reader.at++;
    sequence(reader);
  }
  return first;
}

function sequence(reader: Reader): string {
  let text = '';
  while (reader.at < reader.pattern.length && !'|)'.includes(reader.pattern[reader.at] ?? '')) {
    const part = atom(reader);
    const times = Math.min(repeats(reader), Math.floor((longestText - text.length) / Math.max(part.length, 1)));
    text += part.repeat(times);
  }
  return text;
}

function atom(reader: Reader): string {
  const rest = reader.pattern.slice(reader.at);
  const group = /^\((\?(?:[:=!]|<[=!]|<\w+>))?/.exec(rest);
  if (group !== null) {
    reader.at += group[0].length;
    const text = alternatives(reader);
    reader.at++;
    const isLookAround = /[=!]$/.test(group[1] ?? '');
    return isLookAround ? '' : text;
  }
  const anchor = /^(?:\^|\$|\\[bB])/.exec(rest);
  if (anchor !== null) {
    reader.at += anchor[0].length;
    return '';
  }
  const one = /^(?:\[(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\u\{[^}]*\}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|.)/su.exec(
    rest,
  );
  const source = one?.[0] ?? '';
  reader.at += Math.max(source.length, 1);
  if (/^[^\\[.]$/su.test(source)) return source;
  return characterOf(source);
}

/** The first candidate that a class, an escape or a dot matches; `''` for what is none of these. */
function characterOf(source: string): string {
  const literal = /^\\([^a-zA-Z0-9])$/su.exec(source)?.[1];
  if (literal !== undefined) return literal;
  try {
    const expression = new RegExp(`^${source}$`, 'u');
    return candidates.find((candidate) => expression.test(candidate)) ?? decoded(source);
  } catch {
    return '';
  }
}

/** `\u0627`, `\u{1f44d}`, or the first character of a class that holds none of the candidates. */
function decoded(source: string): string {
  const escape = /\\u\{?([0-9a-fA-F]+)\}?/.exec(source)?.[1];
  if (escape !== undefined) return String.fromCodePoint(Number.parseInt(escape, 16));
  return /^\[([^\\^])/u.exec(source)?.[1] ?? '';
}

function repeats(reader: Reader): number {
  const quantifier = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(reader.pattern.slice(reader.at));
  if (quantifier === null) return 1;
  reader.at += quantifier[0].length;
  const [mark, low, range, high] = quantifier;
  const least = low === undefined ? (mark.startsWith('+') ? 1 : 0) : Number(low);
  const most = mark.startsWith('?')
    ? 1
    : low !== undefined && range === undefined
      ? least
      : Number(high || mostRepeats);
  return Math.min(least + reader.extra, most, mostRepeats);
}
