import { expect, test } from 'vitest';
import { Refusal } from './openai-error.ts';
import { readRequest, textOf } from './request.ts';

const user = { role: 'user', content: 'Hello, world!' };
const tool = { type: 'function', function: { name: 'get_weather', parameters: { type: 'object' } } };

function refusalOf(body: unknown): Refusal {
  try {
    readRequest(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('It was not refused.');
}

const refused: [why: string, body: unknown, param: string | null, message: string][] = [
  ['no JSON', '{', null, 'could not parse the JSON body'],
  ['no object', '[]', null, 'must be a JSON object'],
  ['without messages', { model: 'm' }, 'messages', "Missing required parameter: 'messages'."],
  ['with an empty list of messages', { model: 'm', messages: [] }, 'messages', "'messages'"],
  ['without a model', { messages: [user] }, 'model', "Missing required parameter: 'model'."],
  ['with an endless model', { model: 'm'.repeat(257), messages: [user] }, 'model', "'model'"],
  [
    'from nobody known',
    { model: 'm', messages: [{ role: 'cat', content: '' }] },
    'messages[0].role',
    "'messages[0].role'",
  ],
  [
    'with a number as content',
    { model: 'm', messages: [user, { role: 'user', content: 1 }] },
    'messages[1].content',
    'content',
  ],
  ['for two choices', { model: 'm', messages: [user], n: 2 }, 'n', "'n'"],
  ['for no tokens', { model: 'm', messages: [user], max_tokens: 0 }, 'max_tokens', "'max_tokens'"],
  ['with five stops', { model: 'm', messages: [user], stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', "'stop'"],
  [
    'with an odd format',
    { model: 'm', messages: [user], response_format: { type: 'xml' } },
    'response_format.type',
    'response_format',
  ],
  [
    'with stream options alone',
    { model: 'm', messages: [user], stream_options: {} },
    'stream_options',
    "only allowed when 'stream'",
  ],
  [
    'with a choice of no tools',
    { model: 'm', messages: [user], tool_choice: 'auto' },
    'tool_choice',
    "when 'tools' are specified",
  ],
];

test.each(refused)('a request %s is refused with 400 and OpenAI’s error', (_, body, param, message) => {
  const refusal = refusalOf(body);
  expect(refusal.status).toBe(400);
  expect(refusal.body().error).toMatchObject({ type: 'invalid_request_error', param });
  expect(refusal.message).toContain(message);
});

test('members that the simulator does not know are accepted', () => {
  const body = {
    model: 'm',
    messages: [{ ...user, name: 'x' }],
    temperature: 2,
    parallel_tool_calls: false,
    n: 1,
    x: {},
  };
  expect(readRequest(Buffer.from(JSON.stringify(body))).body).toMatchObject({ model: 'm' });
});

const call = { id: 'c', type: 'function', function: { name: 'go', arguments: '{}' } };
const counts: [what: string, body: object, tokens: number][] = [
  ['a text', { messages: [user] }, 4],
  ['all texts', { messages: [{ role: 'system', content: 'Be kind.' }, user] }, 7],
  ['parts of text', { messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }] }, 1],
  [
    'a picture as 85',
    {
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] }],
    },
    85,
  ],
  ['calls of tools', { messages: [user, { role: 'assistant', content: null, tool_calls: [call] }] }, 4 + 3],
  ['tools as JSON', { messages: [user], tools: [{ type: 'function', function: { name: 'go' } }] }, 4 + 27],
];

test.each(counts)('the prompt’s tokens count %s', (_, body, tokens) => {
  expect(readRequest(Buffer.from(JSON.stringify({ model: 'm', ...body }))).promptTokens).toBe(tokens);
});

test('tools that are nested beyond reason are counted or refused, and no crash', () => {
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
  const body = JSON.stringify({ model: 'm', messages: [user], tools: [tool] }).replace('{"type":"object"}', deep);
  const outcome = (): string => {
    try {
      return `counted ${readRequest(Buffer.from(body)).promptTokens > 100_000 - 1}`;
    } catch (error) {
      return error instanceof Refusal ? 'refused' : String(error);
    }
  };
  expect(['counted true', 'refused']).toContain(outcome());
});

test('the text of a message is that of all its parts', () => {
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'image_url' },
    { type: 'text', text: 'b' },
    { type: 'refusal', refusal: 'c' },
  ];
  expect(textOf({ role: 'user', content: parts })).toBe('a\n\nb\nc');
  expect(textOf({ role: 'assistant', content: null })).toBe('');
});
