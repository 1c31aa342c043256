import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyText } from './any-text.suite.ts';
import type { Fault } from './faults.ts';
import { ManualTime } from './manual-time.suite.ts';
import type { SimulatorOptionsInput } from './options.ts';
import type { Playback, Stage } from './playback.ts';
import type { Death } from './script.ts';
import { Simulator } from './simulator.ts';

/** Notes what happens on it. */
class Recorder implements Stage {
  status = 0;
  headers: Readonly<Record<string, string>> = {};
  readonly chunks: Buffer[] = [];
  ending: 'end' | Death | null = null;
  onData: () => void = () => {};

  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.status = status;
    this.headers = headers;
  }

  data(bytes: Buffer): void {
    this.chunks.push(bytes);
    this.onData();
  }

  end(): void {
    this.ending = 'end';
  }

  die(death: Death): void {
    this.ending = death;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  /** The data of the stream's whole events. */
  get events(): string[] {
    return this.text
      .split('\n\n')
      .slice(0, -1)
      .map((event) => event.replace(/^data: /, ''));
  }
}

const hello = { model: 'fast', messages: [{ role: 'user', content: 'Say hello' }] };
const streamed = { ...hello, stream: true };

interface Rehearsal {
  readonly stage: Recorder;
  readonly time: ManualTime;
  readonly simulator: Simulator;
  readonly playback: Playback;
}

function rehearse(body: object, options: SimulatorOptionsInput = {}): Rehearsal {
  const time = new ManualTime();
  const simulator = new Simulator(options, { clock: time, wait: time.wait });
  const stage = new Recorder();
  const playback = simulator.chat(Buffer.from(JSON.stringify(body)), stage);
  return { stage, time, simulator, playback };
}

function played(body: object, options: SimulatorOptionsInput = {}): Recorder {
  const { stage, time } = rehearse(body, options);
  time.pass(1_000_000);
  return stage;
}

interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string }; readonly finish_reason: string | null }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  } | null;
}

function chunksOf(stage: Recorder): Chunk[] {
  return stage.events.filter((event) => event !== '[DONE]').map((event) => JSON.parse(event) as Chunk);
}

test('an answer is OpenAI’s chat.completion, member by member', () => {
  const stage = played(hello);
  expect(stage).toMatchObject({ status: 200, ending: 'end' });
  expect(stage.headers).toMatchObject({
    'content-type': 'application/json',
    'content-length': String(stage.text.length + 4),
  });
  const content = expect.stringContaining('“Say hello”') as string;
  expect(JSON.parse(stage.text)).toEqual({
    id: 'chatcmpl-sim00000001',
    object: 'chat.completion',
    created: 1_790_000_000,
    model: 'fast',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: {
      prompt_tokens: 2,
      completion_tokens: expect.any(Number) as number,
      total_tokens: expect.any(Number) as number,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 0,
        audio_tokens: 0,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
      },
    },
    service_tier: 'default',
    system_fingerprint: 'fp_simulator',
  });
});

test('a stream is a role, one delta a token, a finish reason and the terminator', () => {
  const stage = played({ ...streamed, max_tokens: 2 });
  expect(stage.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  const choice = (delta: object, finish: string | null): object => ({
    index: 0,
    delta,
    logprobs: null,
    finish_reason: finish,
  });
  expect(chunksOf(stage).map(({ choices }) => choices)).toEqual([
    [choice({ role: 'assistant', content: '', refusal: null }, null)],
    [choice({ content: expect.any(String) as string }, null)],
    [choice({ content: expect.any(String) as string }, null)],
    [choice({}, 'length')],
  ]);
  expect(chunksOf(stage)[0]).toMatchObject({
    id: 'chatcmpl-sim00000001',
    object: 'chat.completion.chunk',
    created: 1_790_000_000,
    model: 'fast',
  });
  expect(chunksOf(stage)[0]).not.toHaveProperty('usage');
  expect(stage.events.at(-1)).toBe('[DONE]');
});

test('usage comes in an event of its own, if it was asked for', () => {
  const chunks = chunksOf(played({ ...streamed, stream_options: { include_usage: true } }));
  const last = chunks.at(-1);
  expect(last?.choices).toEqual([]);
  expect(last?.usage?.completion_tokens).toBe(chunks.length - 3);
  expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
});

const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
];

test('a streamed call gives its name first and then its arguments', () => {
  const messages = [{ role: 'user', content: 'weather?' }];
  const deltas = chunksOf(played({ ...streamed, messages, tools })).map(({ choices }) => choices[0]);
  expect(deltas[0]?.delta).toEqual({
    role: 'assistant',
    content: null,
    refusal: null,
    tool_calls: [
      {
        index: 0,
        id: expect.any(String) as string,
        type: 'function',
        function: { name: 'get_weather', arguments: '' },
      },
    ],
  });
  expect(deltas[1]?.delta).toEqual({ tool_calls: [{ index: 0, function: { arguments: '{' } }] });
  expect(deltas.at(-1)).toMatchObject({ delta: {}, finish_reason: 'tool_calls' });
});

test('whatever is said, the deltas joined are the answer without streaming, and usage is the same', () => {
  fc.assert(
    fc.property(fc.array(anyText, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 200 }), (texts, limit) => {
      const body = { model: 'm', max_tokens: limit, messages: texts.map((content) => ({ role: 'user', content })) };
      const whole = JSON.parse(played(body).text) as {
        choices: [{ message: { content: string }; finish_reason: string }];
        usage: object;
      };
      const chunks = chunksOf(played({ ...body, stream: true, stream_options: { include_usage: true } }));
      const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? ''));
      expect(deltas.join('')).toBe(whole.choices[0].message.content);
      expect(chunks.at(-1)?.usage).toEqual(whole.usage);
      expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe(whole.choices[0].finish_reason);
    }),
    { numRuns: 50 },
  );
});

test('the same requests in the same order get the same answers and meet the same faults', () => {
  const faults: Fault[] = [
    { kind: 'cut', after: 3, byte: 10, rate: 0.3 },
    { kind: 'status', code: 500, rate: 0.3 },
    { kind: 'reset', rate: 0.2 },
  ];
  const run = (seed: number): string[] => {
    const time = new ManualTime();
    const simulator = new Simulator({ faults, seed }, { clock: time, wait: time.wait });
    return Array.from({ length: 50 }, (_, i) => {
      const stage = new Recorder();
      simulator.chat(
        Buffer.from(JSON.stringify({ ...streamed, messages: [{ role: 'user', content: `Request ${i}` }] })),
        stage,
      );
      time.pass(0);
      return `${stage.status} ${stage.ending} ${stage.text}`;
    });
  };
  expect(run(1)).toEqual(run(1));
  expect(run(1)).not.toEqual(run(2));
});

test('without a pace all of a stream comes at once, with a single wait', () => {
  const { stage, time } = rehearse(streamed);
  expect(stage.status).toBe(0);
  expect(time.waiting).toBe(1);
  time.pass(0);
  expect(stage.chunks).toHaveLength(1);
  expect(stage.ending).toBe('end');
});

test('with a pace one token comes after the other, the first after the latency', () => {
  const { stage, time } = rehearse({ ...streamed, max_tokens: 3 }, { latencyMs: 200, tokensPerSecond: 10 });
  const tokensAt = (ms: number): number => {
    time.pass(ms);
    return stage.chunks.length;
  };
  expect([tokensAt(199), stage.status]).toEqual([0, 0]);
  expect([tokensAt(1), stage.status]).toEqual([2, 200]);
  expect([tokensAt(99), tokensAt(1), tokensAt(99)]).toEqual([2, 3, 3]);
  expect([tokensAt(1), stage.ending]).toEqual([5, 'end']);
  expect(stage.events.at(-1)).toBe('[DONE]');
});

test('a pace of more than one token a millisecond is kept, too', () => {
  const { stage, time } = rehearse(streamed, { tokensPerSecond: 10_000 });
  const length = chunksOf(played(streamed)).length - 2;
  time.pass((length - 1) / 10 - 3);
  expect(stage.ending).toBe(null);
  time.pass(4);
  expect(stage.ending).toBe('end');
});

test('while it is paused nothing comes, not even the end; then what is overdue comes together', () => {
  const { stage, time, playback } = rehearse({ ...streamed, max_tokens: 4 }, { tokensPerSecond: 10 });
  stage.onData = () => playback.pause();
  time.pass(1000);
  expect(stage.chunks).toHaveLength(1);
  expect(time.waiting).toBe(0);
  stage.onData = () => {};
  playback.resume();
  playback.resume();
  expect(stage.chunks).toHaveLength(1);
  time.pass(0);
  expect(stage.chunks).toHaveLength(6);
  expect(stage.ending).toBe('end');
});

test('a pause that is over in the same breath changes nothing', () => {
  const { stage, time, playback } = rehearse({ ...streamed, max_tokens: 4 }, { tokensPerSecond: 10 });
  stage.onData = () => {
    playback.pause();
    playback.resume();
    expect(time.waiting).toBeLessThanOrEqual(1);
  };
  time.pass(1000);
  expect(stage.text).toBe(played({ ...streamed, max_tokens: 4 }).text);
  expect(time.waiting).toBe(0);
});

test.each([0, 1, 3])('after a stop at the chunk %i nothing more happens, and it counts as aborted', (at) => {
  const { stage, time, playback, simulator } = rehearse(streamed, { tokensPerSecond: 10 });
  if (at === 0) playback.stop();
  stage.onData = () => {
    if (stage.chunks.length === at) playback.stop();
  };
  time.pass(100_000);
  expect(stage).toMatchObject({ ending: null });
  expect(stage.chunks).toHaveLength(at);
  expect(time.waiting).toBe(0);
  playback.stop();
  expect(simulator.stats()).toEqual({ started: 1, finished: 0, aborted: 1, inFlight: 0 });
});

test('what is played to its end counts as finished, and what still plays as in flight', () => {
  const { time, playback, simulator } = rehearse(hello);
  expect(simulator.stats()).toEqual({ started: 1, finished: 0, aborted: 0, inFlight: 1 });
  time.pass(0);
  playback.stop();
  expect(simulator.stats()).toEqual({ started: 1, finished: 1, aborted: 0, inFlight: 0 });
});

const whole = played(streamed).events;
const wire = (events: readonly string[]): string => events.map((event) => `data: ${event}\n\n`).join('');
const after3 = wire(whole.slice(0, 4));

const spoiled: [what: string, fault: Fault, expected: { status: number; ending: string | null; text?: unknown }][] = [
  ['refused', { kind: 'refuse', rate: 1 }, { status: 0, ending: 'refuse', text: '' }],
  ['reset', { kind: 'reset', rate: 1 }, { status: 0, ending: 'reset', text: '' }],
  ['garbled', { kind: 'garbage', rate: 1 }, { status: 200, ending: 'end', text: expect.stringContaining('<html>') }],
  ['stalled', { kind: 'stall', after: 3, rate: 1 }, { status: 200, ending: null, text: after3 }],
  ['cut', { kind: 'cut', after: 3, byte: 0, rate: 1 }, { status: 200, ending: 'cut', text: after3 }],
  [
    'cut in an event',
    { kind: 'cut', after: 3, byte: 8, rate: 1 },
    { status: 200, ending: 'cut', text: `${after3}data: {"` },
  ],
  [
    'stopped by an error',
    { kind: 'error-event', after: 3, rate: 1 },
    {
      status: 200,
      ending: 'end',
      text: expect.stringMatching(
        /\n\ndata: {"error":{"message":"[^"]+","type":"server_error","param":null,"code":null}}\n\n$/,
      ),
    },
  ],
  [
    'left open',
    { kind: 'no-terminator', rate: 1 },
    {
      status: 200,
      ending: 'end',
      text: wire(whole.slice(0, -2)),
    },
  ],
];

test.each(spoiled)('a stream is %s', (_, fault, expected) => {
  for (const tokensPerSecond of [0, 1000])
    expect(played(streamed, { faults: [fault], tokensPerSecond })).toMatchObject(expected);
});

test('a cut after more tokens than there are still comes before the finish reason', () => {
  const stage = played(streamed, { faults: [{ kind: 'cut', after: 1_000_000, byte: 1_000_000 }] });
  expect(stage.ending).toBe('cut');
  expect(stage.events).toEqual(whole.slice(0, -2));
});

const answer = played(hello).text;

const spoiledAnswers: [fault: Fault, ending: string | null, length: (length: number) => boolean][] = [
  [{ kind: 'cut', after: 0, byte: 0, rate: 1 }, 'cut', (length) => length === 0],
  [{ kind: 'cut', after: 0, byte: 9, rate: 1 }, 'cut', (length) => length === 9],
  [{ kind: 'cut', after: 20, byte: 0, rate: 1 }, 'cut', (length) => length > 100],
  [{ kind: 'cut', after: 999_999, byte: 999_999, rate: 1 }, 'cut', (length) => length > 500],
  [{ kind: 'stall', after: 20, rate: 1 }, null, (length) => length > 100],
];

test.each(spoiledAnswers)('an answer without streaming meets %j', (fault, ending, isRight) => {
  const stage = played(hello, { faults: [fault] });
  expect(stage).toMatchObject({ status: 200, ending });
  expect(answer.startsWith(stage.text)).toBe(true);
  expect(stage.text).not.toBe(answer);
  expect(isRight(stage.text.length)).toBe(true);
});

test('without streaming an error comes in the body of a success, and a missing terminator is nothing', () => {
  const stage = played(hello, { faults: [{ kind: 'error-event', after: 3 }] });
  expect(stage.status).toBe(200);
  expect(JSON.parse(stage.text)).toHaveProperty('error.type', 'server_error');
  expect(played(hello, { faults: [{ kind: 'no-terminator' }] }).text).toBe(answer);
});

const statuses: [
  fault: Omit<Extract<Fault, { kind: 'status' }>, 'kind' | 'rate'>,
  type: string,
  retryAfter: string | undefined,
][] = [
  [{ code: 429, retryAfter: 7 }, 'rate_limit_error', '7'],
  [{ code: 401 }, 'invalid_request_error', undefined],
  [{ code: 503, retryAfter: 0 }, 'server_error', '0'],
  [{ code: 418 }, 'invalid_request_error', undefined],
  [{ code: 599 }, 'server_error', undefined],
];

test.each(statuses)('the status %j comes with OpenAI’s error', (fault, type, retryAfter) => {
  const stage = played(hello, { faults: [{ kind: 'status', ...fault }] });
  expect(stage.status).toBe(fault.code);
  expect(stage.headers['retry-after']).toBe(retryAfter);
  expect(JSON.parse(stage.text)).toMatchObject({ error: { message: expect.any(String) as string, type, param: null } });
});

test('slow headers come on top of the latency and of another fault', () => {
  const faults: Fault[] = [
    { kind: 'status', code: 500, rate: 1 },
    { kind: 'slow-headers', ms: 300, rate: 1 },
  ];
  const { stage, time } = rehearse(hello, { latencyMs: 100, faults });
  time.pass(399);
  expect(stage.status).toBe(0);
  time.pass(1);
  expect(stage.status).toBe(500);
});

test('a wrong request is refused at once, in OpenAI’s shape', () => {
  const { stage, time } = rehearse({ model: 'm', messages: [] }, { latencyMs: 100 });
  time.pass(0);
  expect(stage.status).toBe(400);
  expect(JSON.parse(stage.text)).toMatchObject({ error: { type: 'invalid_request_error', param: 'messages' } });
});
