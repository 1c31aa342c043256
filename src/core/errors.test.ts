import { expect, test } from 'vitest';
import type { ErrorCode } from './errors.ts';
import { errorTable, MizanError, SetupError } from './errors.ts';
import { failureTable } from './failure.ts';

const codes = Object.keys(errorTable) as ErrorCode[];
const failures = Object.entries(failureTable);

test.each(codes)('%s has a status of its family', (code) => {
  const { status, type, meaning } = errorTable[code];
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).toBeLessThan(600);
  const families: Partial<Record<string, number[]>> = {
    authentication: [401],
    permission: [403],
    not_found: [404],
    conflict: [409],
    budget: [402],
    rate_limit: [429],
    timeout: [408, 504],
    unavailable: [503, 504],
    upstream: [502],
    internal: [500],
    cancelled: [499],
  };
  expect(families[type] ?? [400, 405, 413, 415, 431]).toContain(status);
  expect(meaning).toMatch(/^[A-Z].*\.$/);
});

test.each(failures)('a failed attempt of kind %s is told in a code that exists', (_kind, { code }) => {
  expect(codes).toContain(code);
});

test('what is asked of another instance has hurt the one before, or made it busy', () => {
  const elsewhere = failures.filter(([, { next }]) => next === 'instance' || next === 'again');
  expect(elsewhere.map(([, { instance }]) => instance)).not.toContain('fine');
});

test('what the caller did is never blamed on an instance', () => {
  for (const kind of ['cancelled', 'rejected', 'context_length', 'content_policy', 'timeout_total'] as const) {
    expect(failureTable[kind].instance).toBe('fine');
  }
});

test('an error is shown in the one shape, without its cause', () => {
  const cause = new Error('private');
  const error = new MizanError('invalid_request', 'n must be a number.', { param: 'n', cause });
  expect(error).toMatchObject({ status: 400, cause, retryAfterMs: undefined });
  expect(JSON.stringify(error.toPublic('req_1'))).toBe(
    '{"error":{"code":"invalid_request","type":"invalid_request","message":"n must be a number.","param":"n","request_id":"req_1"}}',
  );
});

test('an error without a field or a request says null of them', () => {
  expect(new MizanError('not_found', 'No.').toPublic(null).error).toMatchObject({ param: null, request_id: null });
});

test('an upstream’s own status may stand over the table’s', () => {
  expect(new MizanError('upstream_rejected', 'No.', { status: 422 }).status).toBe(422);
});

test('what an operator has to mend is one line with its reason', () => {
  expect(new SetupError('The port is wrong').message).toBe('The port is wrong');
  expect(new SetupError('The file is wrong', new Error('EISDIR')).message).toBe('The file is wrong: EISDIR');
  expect(new SetupError('Can’t listen', 'the port is taken').message).toBe('Can’t listen: the port is taken');
});
