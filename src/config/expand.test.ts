import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expandText } from './expand.ts';

const env = { NAME: 'value', EMPTY: '', NESTED: '${NAME}', DOLLAR: "$& $1 $$ $'" };

const cases: [text: string, expanded: string][] = [
  ['plain', 'plain'],
  ['${NAME}', 'value'],
  ['a ${NAME} and ${NAME}', 'a value and value'],
  ['${NAME:-default}', 'value'],
  ['${MISSING:-default}', 'default'],
  ['${EMPTY:-default}', 'default'],
  ['${MISSING:-}', ''],
  ['${MISSING:-a:-b $c {d}', 'a:-b $c {d'],
  ['${EMPTY}', ''],
  ['$${NAME}', '${NAME}'],
  ['$$${NAME}', '$${NAME}'],
  ['$NAME $$ 5$', '$NAME $$ 5$'],
  ['${NESTED}', '${NAME}'],
  ['${DOLLAR}', "$& $1 $$ $'"],
];

test.each(cases)('%j becomes %j', (text, expanded) => {
  expect(expandText(text, env)).toMatchObject({ text: expanded, problem: undefined });
});

test.each(['${', '${}', '${1A}', '${A B}', '${NAME', 'x ${-}', '${NAME:default}'])('%j is refused', (text) => {
  expect(expandText(text, env).problem).toBe('expected ${NAME} or ${NAME:-default}; write $${ for the text ${ itself');
});

test('a variable that is not set is a problem, and one that objects inherit is not set', () => {
  for (const name of ['MISSING', 'toString', '__proto__']) {
    expect(expandText(`\${${name}}`, env).problem).toBe(
      `the variable ${name} is not set; set it, or write \${${name}:-default}`,
    );
  }
});

test('it says whether the text was one variable and nothing else', () => {
  expect(
    ['${NAME}', '${X:-1}', ' ${NAME}', '${NAME}${NAME}', 'x', '$${NAME}'].map((text) => expandText(text, env).whole),
  ).toEqual([true, true, false, false, false, false]);
});

test('a text without "${" stays what it is', () => {
  const plain = fc.string().filter((text) => !text.includes('${'));
  fc.assert(
    fc.property(plain, (text) => {
      expect(expandText(text, env).text).toBe(text);
    }),
  );
});

test('whatever a variable holds comes out as it is, between what stands around it', () => {
  const around = fc.string().filter((text) => !/[${}]/.test(text));
  fc.assert(
    fc.property(around, fc.string(), around, (before, value, after) => {
      expect(expandText(`${before}\${V}${after}`, { V: value }).text).toBe(before + value + after);
    }),
  );
});

test('every text can be written, by escaping', () => {
  const sign = fc.constantFrom('$', '{', '}', '${', '$$', '${NAME}', 'x', ':-');
  fc.assert(
    fc.property(fc.array(sign), (signs) => {
      const text = signs.join('');
      expect(
        expandText(
          text.replaceAll('${', () => '$${'),
          env,
        ).text,
      ).toBe(text);
    }),
  );
});
