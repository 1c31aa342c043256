import { describe, expect, test } from 'vitest';
import { preparedChat } from '../../test/support/attempts.ts';
import type { Answer } from '../../test/support/openai-upstream.ts';
import {
  answerWith,
  ask,
  asked,
  done,
  eventStream,
  finish,
  key,
  plain,
  providerAt,
  streamed,
} from '../../test/support/openai-upstream.ts';
import { startUpstream } from '../../test/support/upstream.ts';

describe('what is sent', () => {
  test('is the caller’s body to the byte, but for the model', async () => {
    const body =
      '{ "x-unknown" : {"z":1e2,"\\u0061":"\\u0633"} ,\n"model":"asked-for" , "messages":[ {"role":"user","content":"🙂"}],"seed":12345678901234567890 }';
    const { upstream } = await asked(answerWith(200, {}, '{"choices":[{}]}'), body);
    expect(upstream.requests[0]?.body).toBe(body.replace('"asked-for"', '"upstream/model"'));
    expect(upstream.requests[0]).toMatchObject({ method: 'POST', path: '/api/v1/chat/completions' });
  });

  test('carries what an agent or the edge changed in it', async () => {
    const edits = [
      { member: 'messages', json: '{"role":"system","content":"Be brief."}', at: 'front' },
      { member: 'temperature', json: '0.2', at: 'value' },
    ] as const;
    const { upstream } = await asked(answerWith(200, {}, '{"choices":[{}]}'), plain, { edits });
    expect(upstream.requests[0]?.body).toBe(
      '{"model":"upstream/model","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"سلام"}],"temperature":0.2}',
    );
  });

  test('asks for JSON with our key and the configured headers', async () => {
    const upstream = await startUpstream(answerWith(200, {}, '{"choices":[{}]}'));
    const headers = { 'x-title': 'Mizan', 'user-agent': 'other' };
    await ask(providerAt(upstream.origin, { headers }), preparedChat(plain)).last;
    expect(upstream.requests[0]?.headers).toMatchObject({
      authorization: `Bearer ${key}`,
      accept: 'application/json',
      'content-type': 'application/json',
      'x-title': 'Mizan',
      'user-agent': 'other',
    });
    expect(upstream.requests[0]?.headers).not.toHaveProperty('accept-encoding');
  });

  test('has no authorization where there is no key', async () => {
    const upstream = await startUpstream(answerWith(200, {}, '{"choices":[{}]}'));
    await ask(providerAt(upstream.origin, { apiKey: null }), preparedChat(plain)).last;
    expect(upstream.requests[0]?.headers).not.toHaveProperty('authorization');
  });

  const options: [
    what: string,
    given: string,
    how: { wantsUsage: boolean; streamUsage: 'asked' | 'always' },
    sent: string,
  ][] = [
    ['asks for usage', '', { wantsUsage: false, streamUsage: 'asked' }, ',"stream_options":{"include_usage":true}'],
    [
      'keeps other options',
      ',"stream_options":{"x":1}',
      { wantsUsage: false, streamUsage: 'asked' },
      ',"stream_options":{"x":1,"include_usage":true}',
    ],
    [
      'overrules a refusal',
      ',"stream_options":{"include_usage":false}',
      { wantsUsage: false, streamUsage: 'asked' },
      ',"stream_options":{"include_usage":true}',
    ],
    [
      'replaces null',
      ',"stream_options":null',
      { wantsUsage: false, streamUsage: 'asked' },
      ',"stream_options":{"include_usage":true}',
    ],
    [
      'leaves the caller’s own wish',
      ',"stream_options": {"include_usage":true}',
      { wantsUsage: true, streamUsage: 'asked' },
      ',"stream_options": {"include_usage":true}',
    ],
    ['is let alone where usage always comes', '', { wantsUsage: false, streamUsage: 'always' }, ''],
  ];

  test.each(options)('on a stream %s', async (_what, given, { wantsUsage, streamUsage }, sent) => {
    const upstream = await startUpstream(answerWith(200, eventStream, finish + done));
    const body = streamed.slice(0, -1);
    await ask(providerAt(upstream.origin, { streamUsage }), preparedChat(`${body}${given}}`, { wantsUsage })).last;
    expect(upstream.requests[0]?.body).toBe(`${body.replace('"asked-for"', '"upstream/model"')}${sent}}`);
    expect(upstream.requests[0]?.headers).toMatchObject({ accept: 'text/event-stream' });
  });
});

describe('an answer', () => {
  test('is relayed to the byte, with members that nobody here knows', async () => {
    const body = '{ "x":[1,{"y":null}] , "choices":[ {"message":{"content":"\\u0633لام"},"finish_reason":"stop"} ] }\n';
    const { last, listener } = await asked(answerWith(200, {}, body));
    expect(last).toMatchObject({ answer: { completion: JSON.parse(body) as object } });
    expect((last as { answer: { bytes: Buffer } }).answer.bytes.toString()).toBe(body);
    expect(listener.calls).toStrictEqual(['head', 'answer']);
  });

  test('may come in any number of pieces', async () => {
    const body = Buffer.from(JSON.stringify({ choices: [{ message: { content: 'سلام 🙂'.repeat(50) } }] }));
    const { last } = await asked((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      for (const byte of body) response.write(Buffer.of(byte));
      response.end();
    });
    expect(last).toMatchObject({ answer: { bytes: body } });
  });
});

describe('our own key', () => {
  const leaks: [what: string, answer: Answer, body: string][] = [
    ['a refusal', answerWith(400, {}, JSON.stringify({ error: { message: `Bad key ${key}!`, param: key } })), plain],
    ['a refusal of the key', answerWith(401, {}, JSON.stringify({ error: { message: `Bad key ${key}!` } })), plain],
    ['an error inside', answerWith(200, {}, JSON.stringify({ error: { message: `Bad key ${key}!` } })), plain],
    ['a stream', answerWith(200, eventStream, `data: ${JSON.stringify({ error: `Bad ${key}!` })}\n\n`), streamed],
    [
      'a message that is cut in the middle of it',
      answerWith(500, {}, JSON.stringify({ error: { message: `${'x'.repeat(480)}${key}` } })),
      plain,
    ],
    ['an encoding', answerWith(200, { 'content-encoding': key }, ''), plain],
  ];

  test.each(leaks)('does not come back in %s', async (_what, answer, body) => {
    const { listener } = await asked(answer, body);
    const failure = await listener.failure();
    expect(failure).not.toBe(null);
    expect(JSON.stringify(failure)).not.toContain(key.slice(0, 12));
  });

  test('is named where it stood', async () => {
    const { listener } = await asked(answerWith(400, {}, JSON.stringify({ error: `Bad key ${key}!` })));
    expect((await listener.failure())?.message).toBe('Bad key [secret]!');
  });
});
