import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyText } from './any-text.suite.ts';
import { answerTo, type Answer } from './answer.ts';
import { phrases } from './phrases.ts';
import { readRequest } from './request.ts';
import { countTokens } from './tokens.ts';

function answer(body: object): Answer {
  return answerTo(readRequest(Buffer.from(JSON.stringify({ model: 'm', ...body }))).body);
}

function said(content: unknown, more: object = {}): string {
  return answer({ messages: [{ role: 'user', content }], ...more }).tokens.join('');
}

function tool(name: string, parameters?: object): object {
  return { type: 'function', function: { name, ...(parameters === undefined ? {} : { parameters }) } };
}

test('the answer quotes the user, and says that no model was called', () => {
  const text = said('Say hello');
  expect(text).toContain('“Say hello”');
  expect(text).toContain(phrases.en.confession);
});

test('the answer is in the language of the user’s last message', () => {
  const messages = [
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'Hi!' },
    { role: 'user', content: 'ما عاصمة السعودية؟' },
  ];
  const text = answer({ messages }).tokens.join('');
  expect(text).toContain('«ما عاصمة السعودية؟»');
  expect(text).toContain(phrases.ar.confession);
});

test('the same messages get the same answer, and different ones different answers', () => {
  const texts = new Set(Array.from({ length: 50 }, (_, i) => said('Hello', { seed: i })));
  expect(texts.size).toBe(1);
  const rests = new Set(Array.from({ length: 50 }, (_, i) => said(`Hello ${i}`).replace(`Hello ${i}`, '')));
  expect(rests.size).toBe(8);
});

const quotes: [content: unknown, quote: string][] = [
  ['two\n\n  lines', 'two lines'],
  ['word '.repeat(40), `${'word '.repeat(12).trim()}…`],
  ['👨‍👩‍👧‍👦'.repeat(8), `${'👨‍👩‍👧‍👦'.repeat(5)}…`],
  ['$& {quote} $1', '$& {quote} $1'],
  [
    [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
    ],
    'What is this?',
  ],
];

test.each(quotes)('of %j the quote is %j', (content, quote) => {
  expect(said(content)).toMatch(/“.*”/s);
  expect(said(content)).toContain(`“${quote}”`);
});

test('a picture without words is thanked for', () => {
  expect(said([{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }])).toMatch(
    new RegExp(`^${phrases.en.silent} `),
  );
});

test.each(['max_tokens', 'max_completion_tokens'])('%s ends the answer there, and says so', (limit) => {
  const whole = answer({ messages: [{ role: 'user', content: 'Hi' }] });
  expect(whole.finish).toBe('stop');
  const cut = answer({ messages: [{ role: 'user', content: 'Hi' }], [limit]: 5 });
  expect(cut).toMatchObject({ finish: 'length', completionTokens: 5, tokens: whole.tokens.slice(0, 5) });
  const enough = answer({ messages: [{ role: 'user', content: 'Hi' }], [limit]: whole.tokens.length });
  expect(enough).toEqual(whole);
});

test('no answer is longer than 16384 tokens', () => {
  const schema = { type: 'string', minLength: 50_000 };
  const format = { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } };
  const endless = answer({ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 100_000, ...format });
  expect(endless).toMatchObject({ finish: 'length', completionTokens: 16_384 });
});

const stops: [stop: unknown, ending: RegExp][] = [
  [',', / simulator$/],
  [['nothing like it', 'Mizan', ','], / the $/],
  ['', /\.$/],
  ['\udc00', /\.$/],
  [null, /\.$/],
];

test.each(stops)('with the stop %j the answer ends with %s', (stop, ending) => {
  const stopped = answer({ messages: [{ role: 'user', content: 'Hi' }], stop });
  expect(stopped.tokens.join('')).toMatch(ending);
  expect(stopped.finish).toBe('stop');
});

test('a JSON object is asked for and given', () => {
  const format = { response_format: { type: 'json_object' } };
  expect(JSON.parse(said('قل "مرحبًا"', format))).toEqual({ answer: expect.stringContaining('قل "مرحبًا"') });
});

test('a schema is asked for and obeyed', () => {
  const schema = {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1 } },
    required: ['city', 'days'],
  };
  const format = { response_format: { type: 'json_schema', json_schema: { name: 'trip', schema } } };
  expect(JSON.parse(said('Plan a trip', format))).toEqual({ city: 'text', days: 1 });
});

const weather = tool('get_weather', { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] });
const email = tool('sendEmail');
const choices: [content: string, choice: unknown, called: string | null][] = [
  ['What is the weather like?', undefined, 'get_weather'],
  ['What is the weather like?', 'auto', 'get_weather'],
  ['Use get_weather for me', 'auto', 'get_weather'],
  ['Write an email about the weather', 'auto', 'get_weather'],
  ['Write an EMAIL', 'auto', 'sendEmail'],
  ['Get me a coffee and send it', 'auto', null],
  ['Tell me a joke', 'auto', null],
  ['What is the weather like?', 'none', null],
  ['Tell me a joke', 'required', 'get_weather'],
  ['Write an email', 'required', 'sendEmail'],
  ['Tell me a joke', { type: 'function', function: { name: 'sendEmail' } }, 'sendEmail'],
  [
    'What is the weather like?',
    {
      type: 'allowed_tools',
      allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'sendEmail' } }] },
    },
    null,
  ],
];

test.each(choices)('%j with the tool choice %j calls %j', (content, choice, called) => {
  const given = answer({
    messages: [{ role: 'user', content }],
    tools: [weather, email],
    ...(choice === undefined ? {} : { tool_choice: choice }),
  });
  expect(given.kind === 'call' ? given.name : null).toBe(called);
  expect(given.finish).toBe(called === null ? 'stop' : 'tool_calls');
});

test('a call’s arguments are the least that its schema accepts, and its tokens are counted with its name', () => {
  const given = answer({ messages: [{ role: 'user', content: 'weather?' }], tools: [weather] });
  expect(given).toMatchObject({ kind: 'call', name: 'get_weather', id: expect.stringMatching(/^call_[0-9a-f]{8}$/) });
  expect(JSON.parse(given.tokens.join(''))).toEqual({ city: 'text' });
  expect(given.completionTokens).toBe(countTokens('get_weather') + countTokens('{"city":"text"}'));
});

test('a call can be cut by max_tokens', () => {
  const messages = [{ role: 'user', content: 'weather?' }];
  expect(answer({ messages, tools: [weather], max_tokens: 4 })).toMatchObject({
    finish: 'length',
    completionTokens: 4,
  });
});

test('a tool that is chosen by name has to be there', () => {
  const choice = { type: 'function', function: { name: 'nothing' } };
  expect(() => answer({ messages: [{ role: 'user', content: 'x' }], tools: [weather], tool_choice: choice })).toThrow(
    "'nothing'",
  );
});

test('after a tool’s result the answer is a text that quotes it, in the user’s language', () => {
  const messages = [
    { role: 'user', content: 'Quelle est la météo ? weather' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'c', type: 'function', function: { name: 'get_weather', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: 'c', content: '21 °C' },
  ];
  const given = answer({ messages, tools: [weather] });
  expect(given.kind).toBe('text');
  expect(given.tokens.join('')).toMatch(/^L’outil a répondu.*21 °C/);
});

test('whatever is said, the answer’s tokens are those of its text, and no character is split', () => {
  fc.assert(
    fc.property(
      anyText,
      fc.constantFrom(undefined, { type: 'json_object' }),
      fc.integer({ min: 1, max: 200 }),
      (content, format, limit) => {
        const given = answer({
          messages: [{ role: 'user', content }],
          max_tokens: limit,
          ...(format && { response_format: format }),
        });
        const text = given.tokens.join('');
        expect(text.isWellFormed()).toBe(true);
        expect(countTokens(text)).toBe(given.tokens.length);
        expect(given.completionTokens).toBe(given.tokens.length);
      },
    ),
  );
});
