import { array, assert, nat, property } from 'fast-check';
import { expect, test } from 'vitest';
import { MessageReader } from './http1.ts';

const sized = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const empty = 'HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n';
const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsal\r\nA\r\nam, world!\r\n0\r\nx: y\r\n\r\n';

function read(pieces: readonly Buffer[], closes = false): string[] {
  const seen: string[] = [];
  let body = '';
  const reader = new MessageReader('responses', {
    head: (head) => seen.push(head.slice(9, 12)),
    body: (bytes) => (body += bytes.toString()),
    end: () => {
      seen.push(body);
      body = '';
    },
  });
  for (const piece of pieces) reader.push(piece);
  if (closes) reader.close();
  return seen;
}

test('messages are the same wherever their bytes are split', () => {
  const bytes = Buffer.from(sized + chunked + empty + chunked + sized);
  const whole = ['200', 'hello', '200', 'salam, world!', '204', '', '200', 'salam, world!', '200', 'hello'];
  expect(read([bytes])).toEqual(whole);
  assert(
    property(array(nat(bytes.length)), (cuts) => {
      const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
      expect(read(pieces)).toEqual(whole);
    }),
  );
});

test('a body without a length ends with its connection', () => {
  const bytes = Buffer.from('HTTP/1.1 200 OK\r\n\r\nuntil the end');
  expect(read([bytes])).toEqual(['200']);
  expect(read([bytes], true)).toEqual(['200', 'until the end']);
});

test('a body that is cut short never ends', () => {
  expect(read([Buffer.from(chunked).subarray(0, -3)], true)).toEqual(['200']);
});
