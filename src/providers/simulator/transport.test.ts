import { expect, test } from 'vitest';
import type { TransportError, TransportHandler, TransportHeaders, TransportRequest } from '../transport.ts';
import type { Fault } from './faults.ts';
import { ManualTime } from './manual-time.suite.ts';
import type { SimulatorOptionsInput } from './options.ts';
import { SimulatorTransport } from './transport.ts';

/** Notes every call. */
class Calls implements TransportHandler {
  readonly names: string[] = [];
  status = 0;
  error: TransportError | null = null;
  text = '';

  onHead(status: number, _headers: TransportHeaders): void {
    this.names.push('head');
    this.status = status;
  }

  onData(chunk: Buffer): void {
    this.names.push('data');
    this.text += chunk.toString();
  }

  onEnd(): void {
    this.names.push('end');
  }

  onError(error: TransportError): void {
    this.names.push('error');
    this.error = error;
  }
}

function requestOf(body: object, path = '/v1/chat/completions'): TransportRequest {
  return { path, headers: {}, body: Buffer.from(JSON.stringify(body)), connectTimeoutMs: 1000 };
}

const hello = requestOf({ model: 'm', messages: [{ role: 'user', content: 'Hello' }] });
const streamed = requestOf({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hello' }] });

function begin(options: SimulatorOptionsInput = {}) {
  const time = new ManualTime();
  const calls = new Calls();
  return { time, calls, transport: new SimulatorTransport(options, time, time.wait) };
}

test('nothing is called inside send()', () => {
  for (const faults of [[], [{ kind: 'refuse' }], [{ kind: 'status' }]] satisfies SimulatorOptionsInput['faults'][]) {
    const { time, calls, transport } = begin({ faults });
    transport.send(hello, calls);
    transport.send(requestOf({}), calls);
    transport.send(requestOf({}, '/v1/embeddings'), calls);
    expect(calls.names).toEqual([]);
    time.pass(0);
    expect(calls.names.length).toBeGreaterThan(2);
  }
});

test('with real time an answer comes in a later turn of the event loop', async () => {
  const calls = new Calls();
  const { clock } = { clock: { now: () => 0, monotonic: () => performance.now() } };
  const transport = new SimulatorTransport({}, clock);
  transport.send(hello, calls);
  await Promise.resolve();
  expect(calls.names).toEqual([]);
  await expect.poll(() => calls.names, { timeout: 10_000 }).toEqual(['head', 'data', 'end']);
});

test('an answer is a head, its data and an end', () => {
  const { time, calls, transport } = begin();
  transport.send(streamed, calls);
  time.pass(0);
  expect(calls).toMatchObject({ names: ['head', 'data', 'end'], status: 200, error: null });
  expect(calls.text).toMatch(/^data: .*\n\ndata: \[DONE\]\n\n$/s);
  expect(transport.stats()).toEqual({ started: 1, finished: 1, aborted: 0, inFlight: 0 });
});

test('any other path is not found', () => {
  const { time, calls, transport } = begin();
  transport.send(requestOf({}, '/v1/embeddings'), calls);
  time.pass(0);
  expect(calls).toMatchObject({ names: ['head', 'data', 'end'], status: 404 });
  expect(JSON.parse(calls.text)).toMatchObject({ error: { code: 'unknown_url' } });
});

const deaths: [fault: Fault, names: string[], phase: string, reason: string][] = [
  [{ kind: 'refuse', rate: 1 }, ['error'], 'connect', 'connection refused'],
  [{ kind: 'reset', rate: 1 }, ['error'], 'head', 'connection reset'],
  [{ kind: 'cut', after: 3, byte: 0, rate: 1 }, ['head', 'data', 'error'], 'body', 'connection closed'],
];

test.each(deaths)('the fault %j ends in an error that says where', (fault, names, phase, reason) => {
  const { time, calls, transport } = begin({ faults: [fault] });
  transport.send(streamed, calls);
  time.pass(0);
  expect(calls.names).toEqual(names);
  expect(calls.error).toEqual({ phase, reason, timedOut: false, cause: undefined });
});

test('after abort() nothing is called any more, and the simulator stops', () => {
  const { time, calls, transport } = begin({ latencyMs: 100, tokensPerSecond: 10 });
  const before = transport.send(streamed, calls);
  before.abort();
  time.pass(1000);
  expect(calls.names).toEqual([]);
  const during = transport.send(streamed, calls);
  time.pass(150);
  expect(calls.names).toEqual(['head', 'data', 'data']);
  during.abort();
  during.abort();
  time.pass(10_000);
  expect(calls.names).toEqual(['head', 'data', 'data']);
  expect(time.waiting).toBe(0);
  expect(transport.stats()).toEqual({ started: 2, finished: 0, aborted: 2, inFlight: 0 });
});

test('an abort from inside a call is the last of it', () => {
  const { time, calls, transport } = begin();
  const exchange = transport.send(streamed, calls);
  calls.onHead = () => exchange.abort();
  time.pass(0);
  expect(calls.names).toEqual([]);
});

test('while paused nothing is called, and resume() brings the rest in a later turn', () => {
  const { time, calls, transport } = begin();
  const exchange = transport.send(streamed, calls);
  exchange.pause();
  time.pass(1000);
  expect(calls.names).toEqual([]);
  exchange.resume();
  expect(calls.names).toEqual([]);
  time.pass(0);
  expect(calls.names).toEqual(['head', 'data', 'end']);
});

test('a stall lasts until it is aborted', () => {
  const { time, calls, transport } = begin({ faults: [{ kind: 'stall', after: 1 }] });
  const exchange = transport.send(streamed, calls);
  time.pass(1_000_000);
  expect(calls.names).toEqual(['head', 'data']);
  expect(transport.stats().inFlight).toBe(1);
  exchange.abort();
  expect(transport.stats()).toMatchObject({ aborted: 1, inFlight: 0 });
});

test('close() cuts what is under way, and refuses what comes later', async () => {
  const { time, calls, transport } = begin({ faults: [{ kind: 'stall', after: 1 }] });
  transport.send(streamed, calls);
  time.pass(0);
  const early = new Calls();
  transport.send(streamed, early);
  await transport.close();
  expect(calls).toMatchObject({ names: ['head', 'data', 'error'], error: { phase: 'body' } });
  expect(early).toMatchObject({ names: ['error'], error: { phase: 'head' } });
  const late = new Calls();
  transport.send(streamed, late);
  expect(late.names).toEqual([]);
  time.pass(0);
  expect(late).toMatchObject({ names: ['error'], error: { phase: 'connect' } });
  expect(transport.stats().inFlight).toBe(0);
});
