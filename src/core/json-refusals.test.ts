import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonDocument } from './json-document.ts';
import { Writer, bytesOf, key, refusal } from './json-document.suite.ts';

describe('what is not one JSON object', () => {
  const garbage: [name: string, body: string | Buffer, says: RegExp][] = [
    ['nothing', '', /ends too early/],
    ['white space', ' \n', /ends too early/],
    ['an array', '[{"a":1}]', /an array/],
    ['null', 'null', /null/],
    ['a number', '12', /a number/],
    ['a string', '"{}"', /a string/],
    ['true', 'true', /a boolean/],
    ['a byte order mark', '\uFEFF{"a":1}', /not valid JSON\.$/],
    ['lone garbage', 'garbage', /not valid JSON\.$/],
    ['garbage after the object', '{"a":1} x', /at character 8/],
    ['two objects', '{"a":1}{"b":2}', /at character 7/],
    ['a truncated object', '{"a":', /ends too early/],
    ['a truncated string', '{"a":"b', /ends too early/],
    ['a truncated escape', String.raw`{"a":"\u00`, /ends too early|at character/],
    ['a comma too many', '{"a":1,}', /at character 7/],
    ['a comma too few', '{"a":1 "b":2}', /at character 7/],
    ['a key without quotes', '{a:1}', /at character 1/],
    ['a control character', '{"a":"\u0001"}', /at character 6/],
    ['a bare closing brace', '}', /not valid JSON/],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not valid UTF-8/],
    ['a surrogate in UTF-8', Buffer.from('7b22eda080223a317d', 'hex'), /not valid UTF-8/],
    ['UTF-16', Buffer.from('{"a":1}', 'utf16le'), /./],
  ];

  test.each(garbage)('is refused: %s', (_name, body, says) => {
    expect(refusal(body)).toMatch(says);
  });

  const doubles = [
    '{"a":1,"a":1}',
    '{"a":1,"b":{"c":1,"c":2}}',
    '{"a":[1,{"b":1,"x":[],"b":2}]}',
    String.raw`{"model":1,"mod\u0065l":2}`,
    String.raw`{"\u006dodel":1,"mod\u0065l":2}`,
    String.raw`{"a\/b":1,"a/b":2}`,
    String.raw`{"سلام":1,"\u0633لام":2}`,
    String.raw`{"\ud800":1,"\uD800":2}`,
    '{"":1,"":2}',
  ];

  test.each(doubles)('is refused: a key that stands twice, as in %s', (body) => {
    expect(refusal(body)).toMatch(/stands twice/);
  });

  test('is refused: any key that stands twice, at any depth', () => {
    fc.assert(
      fc.property(key, fc.integer(), fc.nat(20), fc.array(fc.boolean(), { maxLength: 20 }), (name, seed, gap, path) => {
        const writer = new Writer(seed);
        const spelled = (): string =>
          bytesOf(writer.document([[name, 1]]))
            .toString()
            .trim()
            .slice(1, -1);
        const between = Array.from({ length: gap }, (_, i) => `"${name}${i}":{"${i}":[]},`);
        const twice = `{${spelled()},${name.includes('"') || /[\\\p{Cc}\p{Cs}]/u.test(name) ? '' : between.join('')}${spelled()}}`;
        const body = path.reduce((inner, isArray) => (isArray ? `[0,${inner}]` : `{"x":${inner}}`), twice);
        expect(refusal(`{"top":${body}}`)).toMatch(/stands twice/);
      }),
    );
  });

  test('may say the same key in different objects', () => {
    const body = '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}';
    expect(JsonDocument.parse(Buffer.from(body)).edited([]).toString()).toBe(body);
  });

  test.each(['{"__proto__":{"a":1}}', '{"a":{"__proto__":1}}', String.raw`{"a":[{"__pr\u006fto__":1}]}`])(
    'is refused: a key that would reach into prototypes, as in %s',
    (body) => {
      expect(refusal(body)).toMatch(/"__proto__"/);
    },
  );

  test('may hold `__proto__` as a value, and any other name of an object’s own as a key', () => {
    const body = '{"constructor":"__proto__","toString":1,"hasOwnProperty":2}';
    const parsed = JsonDocument.parse(Buffer.from(body));
    expect(parsed.has('valueOf')).toBe(false);
    expect(parsed.has('toString')).toBe(true);
  });

  const nested = (depth: number, open: string, close: string): string =>
    `{"a":${open.repeat(depth - 1)}${close === '' ? '' : `1${close.repeat(depth - 1)}`}}`;

  test.each([
    ['{"a":', '}'],
    ['[', ']'],
  ])('may be 128 levels deep and no more, of %s', (open, close) => {
    expect(() => JsonDocument.parse(Buffer.from(nested(128, open, close)))).not.toThrow();
    expect(refusal(nested(129, open, close))).toMatch(/deeper than 128/);
    expect(refusal(nested(10_000, open, close))).toMatch(/deeper than 128/);
    expect(refusal(nested(10_000, open, ''))).toMatch(/deeper than 128/);
    expect(refusal(open.repeat(100_000))).toMatch(/deeper than 128/);
  });

  test('is named in a message that stays short, however long its keys are', () => {
    const long = 'x'.repeat(1_000_000);
    expect(refusal(`{"${long}":1,"${long}":2}`).length).toBeLessThan(300);
  });
});

test.each([1, 2, 11, 12, 13, 14, 40])('of %i keys in one object none may stand twice, whichever it is', (count) => {
  const members = Array.from({ length: count }, (_, i) => `"k${i}":${i}`);
  expect(JsonDocument.parse(Buffer.from(`{"o":{${members.join()}}}`)).has('o')).toBe(true);
  for (let i = 0; i < count; i++) {
    const doubled = `{"o":{${[...members, `"k${i}":0`].join()}}}`;
    expect(() => JsonDocument.parse(Buffer.from(doubled))).toThrow(`"k${i}"`);
  }
});
