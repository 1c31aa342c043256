import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SseReader } from './sse.ts';

interface Heard {
  readonly bytes: string;
  readonly data: string | null;
}

/** Feeds `pieces` to a reader; every event with its own bytes, and what is left over. */
function read(pieces: readonly Buffer[]): { readonly events: Heard[]; readonly joined: Buffer; readonly left: number } {
  const reader = new SseReader();
  const events: Heard[] = [];
  const joined: Buffer[] = [];
  for (const piece of pieces) {
    const batch = reader.push(piece);
    if (batch === null) continue;
    joined.push(Buffer.from(batch.bytes));
    let end = 0;
    for (const event of batch.events) {
      if (event.start !== end) throw new Error(`an event begins at ${event.start}, not ${end}`);
      end = event.end;
      events.push({ bytes: batch.bytes.toString('latin1', event.start, event.end), data: event.data });
    }
    if (end !== batch.bytes.length) throw new Error('bytes belong to no event');
  }
  return { events, joined: Buffer.concat(joined), left: reader.pendingBytes };
}

const parsed = (text: string): (string | null)[] => read([Buffer.from(text)]).events.map(({ data }) => data);

describe('an event', () => {
  const table: [what: string, stream: string, data: (string | null)[]][] = [
    ['has one line of data', 'data: a\n\n', ['a']],
    ['has several, joined by line feeds', 'data: a\ndata: b\ndata:\ndata: c\n\n', ['a\nb\n\nc']],
    ['loses one space after the colon and no more', 'data:a\n\ndata: a\n\ndata:  a\n\n', ['a', 'a', ' a']],
    ['ends its lines with CRLF as well', 'data: a\r\ndata: b\r\n\r\ndata: c\r\n\n', ['a\nb', 'c']],
    ['has empty data', 'data\n\ndata:\n\ndata: \n\n', ['', '', '']],
    ['has none where it is a comment', ': OPENROUTER PROCESSING\n\ndata: a\n\n', [null, 'a']],
    ['keeps its data among other fields', 'event: x\nid: 1\ndata: a\nretry: 5\n\n', ['a']],
    ['has no data in fields that only begin like it', 'database: a\ndatas\nDATA: b\n data: c\n\n', [null]],
    ['is empty where there are only line ends', '\n\r\n', [null, null]],
    ['keeps a colon and a carriage return inside its data', 'data: a: b\rc\n\n', ['a: b\rc']],
    ['is not there before its blank line', 'data: a\n', []],
    ['begins anew after its blank line', 'data: a\n\nevent: x\n\n', ['a', null]],
  ];

  test.each(table)('%s', (_what, stream, data) => {
    expect(parsed(stream)).toStrictEqual(data);
  });
});

const lineEnd = fc.constantFrom('\n', '\r\n');
const words = fc.oneof(
  fc.constantFrom('مرحبًا بك', '🙂👩‍👩‍👧', '{"a":"\\u0633"}', ': x', 'data: y', '[DONE]', '', ' ', '\r'),
  fc.string({ unit: 'grapheme', maxLength: 10 }),
);
const line = fc
  .tuple(fc.constantFrom('data: ', 'data:', 'data', ': ', 'event: ', 'id:', 'x'), words, lineEnd)
  .map(([field, text, end]) => `${field}${text.replaceAll(/[\r\n]/g, '')}${end}`);
const event = fc.tuple(fc.array(line, { maxLength: 4 }), lineEnd).map(([lines, end]) => `${lines.join('')}${end}`);
const stream = fc
  .tuple(fc.array(event, { maxLength: 6 }), fc.constantFrom('', 'data: unfin', 'data: a\r', 'dat'))
  .map(([events, rest]) => Buffer.from(events.join('') + rest));

/** The same by a plain reading of the whole text, line by line. */
function meaningOf(text: string): (string | null)[] {
  const events: (string | null)[] = [];
  let data: string[] = [];
  for (const whole of text.split('\n').slice(0, -1)) {
    const [, said] = /^data(?:: ?(.*))?$/su.exec(whole.replace(/\r$/, '')) ?? [null, null];
    if (said !== null) data.push(said ?? '');
    if (whole !== '' && whole !== '\r') continue;
    events.push(data.length === 0 ? null : data.join('\n'));
    data = [];
  }
  return events;
}

describe('a stream', () => {
  test('says the same cut in two at any byte', () => {
    fc.assert(
      fc.property(stream, (bytes) => {
        const whole = read([bytes]);
        for (let at = 0; at <= bytes.length; at++) {
          const halves = read([bytes.subarray(0, at), bytes.subarray(at)]);
          expect(isDeepStrictEqual(halves, whole), `cut at byte ${at}`).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('says the same in single bytes and in pieces of any sizes', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(7), { minLength: 1 }), (bytes, sizes) => {
        const whole = read([bytes]);
        expect(read(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toStrictEqual(whole);
        const pieces: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = (sizes[i % sizes.length] ?? 0) + (i % 2);
          pieces.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(read(pieces)).toStrictEqual(whole);
      }),
    );
  });

  test('loses no byte: what was passed on and what waits is what came', () => {
    fc.assert(
      fc.property(stream, (bytes) => {
        const { joined, left } = read([bytes]);
        expect(joined.equals(bytes.subarray(0, joined.length))).toBe(true);
        expect(joined.length + left).toBe(bytes.length);
      }),
    );
  });

  test('says what its lines say', () => {
    fc.assert(
      fc.property(stream, (bytes) => {
        expect(read([bytes]).events.map(({ data }) => data)).toStrictEqual(meaningOf(bytes.toString()));
      }),
    );
  });

  test('costs no more than its length where one line comes in very many pieces', () => {
    const reader = new SseReader();
    const piece = Buffer.alloc(256, 'a');
    const startedAt = performance.now();
    for (let i = 0; i < 16_384; i++) reader.push(piece);
    expect(reader.pendingBytes).toBe(4 * 1024 * 1024);
    expect(reader.push(Buffer.from('\n\n'))?.bytes).toHaveLength(4 * 1024 * 1024 + 2);
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  test('keeps what is not complete, and tells how much', () => {
    const reader = new SseReader();
    expect(reader.push(Buffer.from('data: سل'))).toBe(null);
    expect(reader.pendingBytes).toBe(10);
    expect(reader.push(Buffer.from('ام\n\nda'))?.events).toStrictEqual([{ start: 0, end: 16, data: 'سلام' }]);
    expect(reader.pendingBytes).toBe(2);
  });
});
