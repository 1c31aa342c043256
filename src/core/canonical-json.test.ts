import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, exactValue } from './canonical-json.ts';
import { JsonDocument } from './json-document.ts';

const canon = (text: string): string => canonicalJson(exactValue(JsonDocument.parse(Buffer.from(text))));
const ofNumber = (written: string): string => canon(`{"n":${written}}`);

describe('one text for what is the same', () => {
  test.each([
    ['{"a":1,"b":[true,null]}', ' { "b" : [ true , null ] ,\n"a" : 1 } '],
    ['{"a":{"x":1,"y":2}}', '{"a":{"y":2,"x":1}}'],
    ['{"a":"é/"}', String.raw`{"\u0061":"\u00e9\/"}`],
    ['{"10":1,"9":2}', '{"9":2,"10":1}'],
  ])('%s and %s', (one, other) => {
    expect(canon(one)).toBe(canon(other));
  });

  test.each([
    ['1', '1.0', '1e0', '10e-1', '0.1e1', '1.0000000000000000000', '1E+0'],
    ['0', '0.0', '0e5', '0.00000000000000000000'],
    ['-0', '-0.0', '-0e9'],
    ['1500', '1.5e3', '1.5E+003', '15e2'],
    ['12345678901234567891', '12345678901234567891.0', '1.2345678901234567891e19'],
    ['1e400', '10e399', '0.1e401'],
    ['9007199254740992', '9007199254740992.0'],
    ['0.1', '0.10000000000000000'],
  ])('the number %s, however it is written', (...forms) => {
    expect(new Set(forms.map(ofNumber)).size).toBe(1);
  });
});

describe('different texts for what is different', () => {
  const different = [
    '0 -0 1 -1 10 1e21 1e22 1e400 1e401 -1e400 1e-400 1e-401 5e-324',
    '9007199254740992 9007199254740993 9007199254740994 12345678901234567890 12345678901234567891',
    '0.1 0.10000000000000001 0.1000000000000000055511151231257827 "1" true null [] {}',
  ].join(' ');

  test('numbers that a double does not tell apart, and what only looks alike', () => {
    const forms = different.split(' ');
    expect(new Set(forms.map(ofNumber)).size).toBe(forms.length);
  });

  test.each([
    [JSON.stringify({ a: 'é'.normalize('NFC') }), JSON.stringify({ a: 'é'.normalize('NFD') })],
    [String.raw`{"a":"\ud800"}`, String.raw`{"a":"\ud801"}`],
    [String.raw`{"a":"\ud800"}`, String.raw`{"a":"\\ud800"}`],
    ['{"a":"1","b":""}', '{"a":"","b":"1"}'],
    ['{"a":[1,[2]]}', '{"a":[[1],2]}'],
    ['{"a":null}', '{}'],
    ['{"a,b":1}', '{"a":1,"b":1}'],
    ['{"n":12345678901234567890}', '{"n":"12345678901234567890e0"}'],
  ])('%s and %s', (one, other) => {
    expect(canon(one)).not.toBe(canon(other));
  });
});

test('every value has one text, which says what it is', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      if (Object.hasOwn(value, '__proto__') || JSON.stringify(value).includes('"__proto__"')) return;
      const text = JSON.stringify(value);
      const reversed = JSON.stringify(Object.fromEntries(Object.entries(value).toReversed()));
      expect(canon(text)).toBe(canon(reversed));
      expect(JSON.parse(canon(text))).toEqual(JSON.parse(text));
    }),
    { seed: 7, numRuns: 500 },
  );
});

test.each([
  ['very many zeros', `{"n":1${'0'.repeat(1_000_000)}1}`],
  ['very many digits of an exponent', `{"n":1e${'9'.repeat(1_000_000)}}`],
])('%s take no long time', (_what, text) => {
  expect(canon(text).length).toBeGreaterThan(1_000_000);
});
