import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countTokens, tokensOf } from './tokens.ts';

const cases: [text: string, tokens: string[]][] = [
  ['', []],
  ['Hello, world!', ['Hello', ',', ' world', '!']],
  ['internationalisation', ['intern', 'ationa', 'lisati', 'on']],
  ['two  spaces', ['two', ' ', ' spaces']],
  ['line\r\nbreak', ['line', '\r\n', 'break']],
  ['مرحبًا بالعالم', ['مرحبًا', ' بالعال', 'م']],
  ['你好 世界', ['你', '好', ' 世', '界']],
  ['안녕', ['안', '녕']],
  ['क्षमा', ['क्षमा']],
  ['👨‍👩‍👧‍👦 👍🏽🇸🇦', ['👨‍👩‍👧‍👦', ' 👍🏽', '🇸🇦']],
  ['e\u0301te\u0301', ['e\u0301te\u0301']],
  ['{"a":1}', ['{', '"', 'a', '"', ':', '1', '}']],
];

test.each(cases)('the tokens of %j are %j', (text, tokens) => {
  expect(tokensOf(text)).toEqual(tokens);
});

const alphabets = Array.from(
  'aZ9 _.,\r\n\t٠مرحَبًاپچשלῥωДйกำकषि््你かガ한👍🏽🇸🇦👨‍👩‍👧©\u200d\ufe0f\u00ad\u06dd\u1100\u1161\ud83d',
);
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.constantFrom(...alphabets)).map((parts) => parts.join('')),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
);

test('tokens joined are the text, and are as many as were counted', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const tokens = tokensOf(text);
      expect(tokens.join('')).toBe(text);
      expect(tokens).not.toContain('');
      expect(countTokens(text)).toBe(tokens.length);
    }),
    { numRuns: 500 },
  );
});

test('no token ends inside a character, so no surrogate pair is ever split', () => {
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });
  fc.assert(
    fc.property(anyText, (text) => {
      const boundaries = new Set([text.length, ...Array.from(segmenter.segment(text), ({ index }) => index)]);
      let at = 0;
      for (const token of tokensOf(text)) {
        at += token.length;
        expect(boundaries).toContain(at);
      }
    }),
    { numRuns: 1000 },
  );
});

test('every character of a plain text stands alone, beside any other', () => {
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });
  const clumps = [];
  for (let unit = 0; unit < 0xd800; unit++) {
    const character = String.fromCharCode(unit);
    if (tokensOf(`.${character}.`).length === 3 && [...segmenter.segment(`.${character}.`)].length !== 3)
      clumps.push(unit);
  }
  expect(clumps).toEqual([]);
});
