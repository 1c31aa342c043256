/** A word is cut into pieces of at most so many characters. */
const pieceLength = 6;

const space = 1;
const letter = 2;
/** A letter of a script that is written without spaces between its words: a token of its own. */
const wide = 3;
const other = 4;

const isWide = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
const isLetter = /[\p{L}\p{N}\p{M}_]/u;

/** Kinds that were looked up before, by code unit; 0 for those that were not. */
const known = new Uint8Array(0x10000);

/**
 * Text in which no character combines with its neighbour, but for CR LF: every code unit is a grapheme there, which
 * saves asking the segmenter.
 */
const plain =
  /^[\0-\u02ff\u0370-\u0482\u048a-\u058f\u05be\u05d0-\u05ea\u05f3\u05f4\u0606-\u060f\u061b-\u064a\u0660-\u066f\u0671-\u06d5\u06f0-\u06ff\u1e00-\u1fff\u2010-\u2064\u20a0-\u20c0\u2100-\u2bff\u3000-\u3029\u3030-\u3096\u309b-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff9d]*$/;

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** Where the character that begins at an index ends. */
type CharacterEnd = (start: number) => number;

/**
 * The simulator's own tokens of a text; joined they are the text again. A token is a word's next six characters at
 * most, a letter of Chinese, Japanese or Korean, or one other character, with the single space before it. It never
 * ends inside a character as a reader sees it (a grapheme cluster of Unicode's UAX #29).
 */
export function tokensOf(text: string): string[] {
  const endOf = characterEnds(text);
  const tokens: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = tokenEnd(text, at, endOf);
    tokens.push(text.slice(at, end));
    at = end;
  }
  return tokens;
}

/** How many tokens `tokensOf` would give. */
export function countTokens(text: string): number {
  const endOf = characterEnds(text);
  let count = 0;
  for (let at = 0; at < text.length; at = tokenEnd(text, at, endOf)) count++;
  return count;
}

function characterEnds(text: string): CharacterEnd {
  if (plain.test(text)) {
    if (!text.includes('\r')) return (start) => start + 1;
    return (start) => (text.startsWith('\r\n', start) ? start + 2 : start + 1);
  }
  const ends = new Uint32Array(text.length);
  for (const { index, segment } of segmenter.segment(text)) ends[index] = index + segment.length;
  return (start) => ends[start] ?? text.length;
}

function tokenEnd(text: string, start: number, endOf: CharacterEnd): number {
  let end = endOf(start);
  let kind = kindAt(text, start);
  if (kind === space) {
    if (end >= text.length) return end;
    kind = kindAt(text, end);
    if (kind === space) return end;
    end = endOf(end);
  }
  if (kind !== letter) return end;
  for (let length = 1; length < pieceLength && end < text.length && kindAt(text, end) === letter; length++) {
    end = endOf(end);
  }
  return end;
}

function kindAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (unit >= 0xd800 && unit <= 0xdfff) return kindOf(String.fromCodePoint(text.codePointAt(index) ?? unit));
  return known[unit] || (known[unit] = kindOf(String.fromCharCode(unit)));
}

function kindOf(character: string): number {
  if (character === ' ') return space;
  if (isWide.test(character)) return wide;
  return isLetter.test(character) ? letter : other;
}
