import { describe, expect, test } from 'vitest';
import { formatProblem } from './problem.ts';
import { readYaml } from './yaml.ts';

function problems(text: string): string[] {
  return readYaml(text, 'f.yaml').problems.map(formatProblem);
}

const outOfPlace = 'this cannot stand here; a text with special characters needs quotes ("${NAME}" inside { } does)';
const unclosed = 'the indentation is wrong, or a bracket is not closed';

describe('broken YAML is told by line and column', () => {
  const cases: [promise: string, text: string, lines: string[]][] = [
    ['a tab', 'a:\n\tb: 1', ['f.yaml:2:1: a tab; YAML is indented with spaces']],
    ['a bracket that is not closed', 'a: [1', [`f.yaml:1:6: ${unclosed}`]],
    [
      'a quote that is not closed',
      'a: "1',
      ['f.yaml:1:6: something is missing here: a quote, a comma, a colon or a space'],
    ],
    ['wrong indentation', 'a:\n  b: 1\n c: 2', [`f.yaml:3:1: ${unclosed}`]],
    ['text after a quote', 'a: "x" y', [`f.yaml:1:8: ${outOfPlace}`]],
    ['a variable in braces without quotes', 'a: 1\nb: { c: ${D}, e: ${F} }\ng: 1', [`f.yaml:2:10: ${outOfPlace}`]],
    ['a reserved first character', 'a: @b', ['f.yaml:1:4: a text that begins with this character needs quotes']],
    ['two colons', 'a: b: c', ['f.yaml:1:4: a second ": " in one line; put the text in quotes']],
    [
      'an unknown escape',
      'a: "\\q"',
      ['f.yaml:1:5: an escape sequence that YAML does not have; write the text in single quotes'],
    ],
    ['two documents', 'a: 1\n---\nb: 2', ['f.yaml:2:1: expected one document, found a second']],
    ['a key that is a list', '? [a]\n: 1', ['f.yaml:1:3: expected a text as the key']],
    [
      'a tag',
      'a: !!binary aGk=\nb: !mine x',
      ['f.yaml:1:4: a tag that is not allowed here', 'f.yaml:2:4: a tag that is not allowed here'],
    ],
    [
      'a key that stands twice',
      'a: { b: 1 }\na: 2\nc: { d: 1, d: 2 }',
      [
        'f.yaml:2:1 a: the key stands here again, after line 1',
        'f.yaml:3:12 c.d: the key stands here again, after line 3',
      ],
    ],
    ['__proto__', 'a:\n  - __proto__: { b: 1 }', ['f.yaml:2:5 a[0].__proto__: this key is not allowed']],
    ['an alias of nothing', 'a: *b', ['f.yaml:1:4 a: an alias without an anchor before it']],
    ['an alias inside its own anchor', 'a: &b [*b]', ['f.yaml:1:8 a[0]: an alias without an anchor before it']],
    ['a number that JSON does not have', 'a: .inf', ['f.yaml:1:4 a: expected a finite number']],
  ];

  test.each(cases)('%s', (_, text, lines) => {
    expect(problems(text)).toEqual(lines);
  });

  test('and never quoted', () => {
    for (const text of ['a: "x" hunter2', 'a: !hunter2', 'a: "hunter2', 'hunter2\na: 1', 'a: *hunter2', '[hunter2']) {
      expect(problems(text).join('\n')).not.toContain('hunter2');
      expect(problems(text)).not.toEqual([]);
    }
  });
});

describe('what would cost too much is refused', () => {
  const nested = (levels: number, inside: string): string => '['.repeat(levels) + inside + ']'.repeat(levels);
  const bomb = Array.from(
    { length: 9 },
    (_, i) =>
      `a${i}: &a${i} [${
        i === 0
          ? '1,1,1,1,1,1,1,1,1'
          : Array(9)
              .fill(`*a${i - 1}`)
              .join()
      }]`,
  );
  const cases: [promise: string, text: string, line: string | RegExp][] = [
    ['nesting in brackets', '['.repeat(1000), 'f.yaml:1:65: more than 64 levels'],
    [
      'nesting by indentation',
      Array.from({ length: 100 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
      'f.yaml:65:65: more than 64 levels',
    ],
    ['nesting in one line', '- '.repeat(1000), 'f.yaml:1:129: more than 64 levels'],
    ['nesting deep enough to end the process', '['.repeat(100_000), 'f.yaml:1:65: more than 64 levels'],
    [
      'nesting by aliases',
      Array.from({ length: 4 }, (_, i) => `a${i}: &a${i} ${nested(20, i === 0 ? '' : `*a${i - 1}`)}`).join('\n'),
      /^f\.yaml:1:\d+ a3(\[0\]){63,64}: more than 64 levels$/,
    ],
    ['aliases of aliases', bomb.join('\n'), /^f\.yaml:\d+:\d+ a\d[^ ]*: more than 100 aliases$/],
    [
      'a few aliases of much',
      `a: &a [${'1,'.repeat(2000)}]\nb: [${'*a,'.repeat(50)}]`,
      /^f\.yaml:1:\d+ b\[2\d\]\[\d+\]: more than 50000 values$/,
    ],
    ['a sea of signs', '- a\n'.repeat(100_000), 'f.yaml:1:1: more than 200000 words and signs'],
  ];

  test.each(cases)('%s', (_, text, line) => {
    expect(problems(text)).toHaveLength(1);
    expect(problems(text)[0]).toMatch(line);
  });
});

test('YAML 1.2 holds even where a file asks for 1.1: yes is a text', () => {
  expect(readYaml('%YAML 1.1\n---\na: yes\nb: 0o17\nc: 012', 'f').tree).toEqual({ a: 'yes', b: 15, c: 12 });
});

test('an empty file, comments and null are an empty mapping', () => {
  for (const text of ['', '\n', '# nothing', '---', 'null', '\uFEFF']) expect(readYaml(text, 'f').tree).toEqual({});
});

test('keys are texts, and a byte order mark is no column', () => {
  const { tree, places } = readYaml('\uFEFF8000: true\nnull: 1', 'f');
  expect(tree).toEqual({ 8000: true, null: 1 });
  expect(places.keyOf(['8000'])).toEqual({ source: 'f', line: 1, column: 1 });
});

test('places are those of the value, else of the nearest key above it', () => {
  const { places } = readYaml('a:\n  b:\n    - c: 1', 'f');
  expect(places.originOf(['a', 'b', 0, 'c'])).toMatchObject({ line: 3, column: 10 });
  expect(places.keyOf(['a', 'b', 0, 'c'])).toMatchObject({ line: 3, column: 7 });
  expect(places.originOf(['a', 'b', 0, 'd'])).toMatchObject({ line: 3, column: 7 });
  expect(places.originOf(['a', 'x', 'y'])).toMatchObject({ line: 1, column: 1 });
  expect(places.originOf(['x'])).toMatchObject({ line: 1, column: 1 });
});
