import { expect, test } from 'vitest';
import { requestHead } from './request-head.ts';

const plain = { host: 'example.com:8080', path: '/v1/chat', headers: { a: '1', 'x-b': 'é' }, contentLength: 12 };

test('a head is its lines, and a blank one', () => {
  const lines = ['POST /v1/chat HTTP/1.1', 'host: example.com:8080', 'connection: keep-alive', 'a: 1', 'x-b: é'];
  for (let i = 0; i < 2; i++) {
    expect(requestHead(plain)).toBe([...lines, 'content-length: 12', '', ''].join('\r\n'));
  }
});

test.each([
  ['a path that is none', { path: 'v1' }],
  ['a path of another host', { path: 'https://elsewhere/' }],
  ['a path with a blank', { path: '/v1 HTTP/1.1' }],
  ['a path with a line end', { path: '/v1\r\nx: y' }],
  ['a path that is not ASCII', { path: '/é' }],
  ['a header with a line end', { headers: { a: '1\r\nb: 2' } }],
  ['a header with a bare line feed', { headers: { a: '1\nb: 2' } }],
  ['a header that is not latin1', { headers: { a: 'سلام' } }],
  ['a name with a line end', { headers: { 'a: 1\r\nb': '2' } }],
  ['an empty name', { headers: { '': '2' } }],
])('nothing is written with %s', (_what, over) => {
  expect(() => requestHead({ ...plain, ...over })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_CHAR' }));
});
